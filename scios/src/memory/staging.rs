//! Buffers that a network card may hold on to: page bytes are copied through them (0.05-0.8 µs a page) where the page
//! itself may be punched at any time, which a card doesn't notice.
//!
//! Registration pins all of a region, so the buffers are one region of their own, charged when it is made, registered as a
//! whole by whoever owns the fabric, and never punched.

use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Budget, Charge, Class};
use super::{MemoryError, Region, RegionSlice};
use crate::limits::PAGE_BYTES;

/// The buffers of one node, in classes of equal length.
#[derive(Clone, Debug)]
pub struct Staging {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    region: Arc<Region>,
    /// Shortest first.
    classes: Vec<BufferClass>,
    _charge: Charge,
}

#[derive(Debug)]
struct BufferClass {
    bytes: usize,
    /// Offsets of the free ones. The one that was used last is taken first: its bytes may still be in the CPU's cache.
    free: Mutex<Vec<u64>>,
}

impl Staging {
    pub(super) fn new(budget: &Arc<Budget>, classes: &[(usize, usize)]) -> Result<Self, MemoryError> {
        let mut classes: Vec<_> = classes.iter().filter(|(bytes, count)| *bytes > 0 && *count > 0).collect();
        classes.sort_unstable();
        let mut next = 0u64;
        let mut buffer_classes = Vec::new();
        for &&(bytes, count) in &classes {
            let bytes = bytes.next_multiple_of(PAGE_BYTES);
            let offsets = (0..count as u64).map(|n| next + n * bytes as u64).rev().collect();
            buffer_classes.push(BufferClass { bytes, free: Mutex::new(offsets) });
            next += (bytes * count) as u64;
        }
        let charge = budget.reserve(Class::Staging, next / PAGE_BYTES as u64)?;
        let region = Region::new("scifs-staging", next)?;
        Ok(Self { inner: Arc::new(Inner { region, classes: buffer_classes, _charge: charge }) })
    }

    /// What to register with the fabric.
    pub fn region(&self) -> &Arc<Region> {
        &self.inner.region
    }

    /// A buffer of at least `bytes`, of the shortest class that has one. Its bytes are what its last user left.
    pub fn take(&self, bytes: usize) -> Result<StagingBuffer, MemoryError> {
        let fitting = self.inner.classes.iter().enumerate().filter(|(_, class)| class.bytes >= bytes);
        let mut any = false;
        for (number, class) in fitting {
            any = true;
            if let Some(offset) = class.free.lock().pop() {
                return Ok(StagingBuffer { inner: Arc::clone(&self.inner), class: number, offset });
            }
        }
        let max = self.inner.classes.last().map_or(0, |class| class.bytes);
        Err(if any { MemoryError::StagingBusy { bytes } } else { MemoryError::StagingLength { bytes, max } })
    }

    /// How many buffers are free: (bytes each, how many).
    pub fn free(&self) -> Vec<(usize, usize)> {
        self.inner.classes.iter().map(|class| (class.bytes, class.free.lock().len())).collect()
    }
}

/// One buffer, until it is dropped. Keep it until the transfer that uses it has ended.
#[derive(Debug)]
pub struct StagingBuffer {
    inner: Arc<Inner>,
    class: usize,
    offset: u64,
}

impl StagingBuffer {
    /// The buffer's first `bytes`.
    pub fn slice(&self, bytes: usize) -> Result<RegionSlice, MemoryError> {
        let max = self.bytes();
        if bytes > max {
            return Err(MemoryError::StagingLength { bytes, max });
        }
        self.inner.region.slice(self.offset, bytes)
    }

    pub fn bytes(&self) -> usize {
        self.inner.classes[self.class].bytes
    }
}

impl Drop for StagingBuffer {
    fn drop(&mut self) {
        self.inner.classes[self.class].free.lock().push(self.offset);
    }
}
