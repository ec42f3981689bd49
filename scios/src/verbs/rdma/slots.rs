//! Registered buffers that hold what a `send` has read until the device has sent it, and the results of atomics.
//!
//! One pool serves all peers, because locked memory is scarce; so no peer may have more than a quarter of it under way, and a
//! peer that found nothing free is remembered and served when something is.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ffi::{Access, ProtectionDomain, Registration, Sge, VerbsError};
use super::job::ATOMIC_BYTES;
use crate::limits::{
    MESSAGE_BYTES_MAX, RDMA_SEND_BUFFER_SHORT_BYTES, RDMA_SEND_BUFFERS_LONG, RDMA_SEND_BUFFERS_SHORT,
};
use crate::memory::{Region, RegionSlice};

/// What one connection may hold of each kind.
const SHARE: u32 = 4;

#[derive(Debug)]
pub(super) struct SlotPool {
    registration: Registration,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// Offsets of free buffers, by kind.
    offsets: [Vec<u32>; 2],
    /// Connections that found nothing, in order.
    waiting: VecDeque<u32>,
}

/// How many buffers of each kind one connection holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held([u32; 2]);

/// A buffer; goes back to the pool when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Arc<SlotPool>,
    kind: usize,
    offset: u32,
    /// Fewer than half of its kind were left when it was taken.
    pub(super) scarce: bool,
}

const COUNTS: [u32; 2] = [RDMA_SEND_BUFFERS_SHORT, RDMA_SEND_BUFFERS_LONG];
const BYTES: [usize; 2] = [RDMA_SEND_BUFFER_SHORT_BYTES, MESSAGE_BYTES_MAX];

impl SlotPool {
    pub(super) fn new(domain: &Arc<ProtectionDomain>) -> Result<Arc<Self>, VerbsError> {
        let mut free = Free::default();
        let mut offset = 0;
        for ((offsets, count), bytes) in free.offsets.iter_mut().zip(COUNTS).zip(BYTES) {
            offsets.extend((0..count).map(|index| offset + index * bytes as u32));
            offset += count * bytes as u32;
        }
        let region = Region::new("scifs-send", offset.into()).map_err(|error| VerbsError::Call {
            operation: "making send buffers",
            source: std::io::Error::other(error),
        })?;
        let registration = Registration::new(domain, &region.whole(), Access::Local)?;
        Ok(Arc::new(Self { registration, free: Mutex::new(free) }))
    }

    /// A buffer of at least `bytes` for connection `who`, which holds `held`. `None` if it has its share already (one
    /// of its own will come back), or if nothing is free (then it is among the `take_waiters`).
    pub(super) fn take(self: &Arc<Self>, bytes: usize, who: u32, held: &mut Held) -> Option<Slot> {
        let kind = usize::from(bytes > RDMA_SEND_BUFFER_SHORT_BYTES);
        let (holds, count) = (held.0.get_mut(kind)?, COUNTS.get(kind)?);
        if *holds >= count / SHARE {
            return None;
        }
        let mut free = self.free.lock();
        let offsets = free.offsets.get_mut(kind)?;
        let scarce = offsets.len() < *count as usize / 2;
        let Some(offset) = offsets.pop() else {
            if !free.waiting.contains(&who) {
                free.waiting.push_back(who);
            }
            return None;
        };
        *holds += 1;
        Some(Slot { pool: Arc::clone(self), kind, offset, scarce })
    }

    /// Remembers a connection that could not go on for want of something that all share.
    pub(super) fn wait(&self, who: u32) {
        let mut free = self.free.lock();
        if !free.waiting.contains(&who) {
            free.waiting.push_back(who);
        }
    }

    /// The connections that found nothing; who finds nothing again is remembered again.
    pub(super) fn take_waiters(&self) -> VecDeque<u32> {
        std::mem::take(&mut self.free.lock().waiting)
    }
}

impl Slot {
    /// The first `bytes` of it; at most those it was taken for.
    pub(super) fn part(&self, bytes: usize) -> Option<RegionSlice> {
        self.pool.registration.slice().part(self.offset as usize, bytes).ok()
    }

    pub(super) fn sge(&self, part: &RegionSlice) -> Option<Sge> {
        self.pool.registration.sge(part)
    }

    /// The result of an atomic operation.
    pub(super) fn word(&self) -> u64 {
        let mut bytes = [0; ATOMIC_BYTES];
        // A slot is longer than a word, so neither step fails.
        let read = self.part(ATOMIC_BYTES).is_some_and(|part| part.read_to(&mut bytes).is_ok());
        if read { u64::from_le_bytes(bytes) } else { 0 }
    }

    /// Gives it back, and takes it off what its connection holds.
    pub(super) fn release(self, held: &mut Held) {
        if let Some(holds) = held.0.get_mut(self.kind) {
            *holds = holds.saturating_sub(1);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(offsets) = self.pool.free.lock().offsets.get_mut(self.kind) {
            offsets.push(self.offset);
        }
    }
}
