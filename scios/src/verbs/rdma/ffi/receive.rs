//! The shared receive queue: one pool of buffers for the messages of all peers.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bindings;
use super::protection::unsupported;
use super::{Access, ProtectionDomain, Registration, VerbsError};
use crate::memory::Region;

pub struct ReceiveQueue {
    srq: NonNull<bindings::ibv_srq>,
    /// Which buffers the device has. A buffer is either there or in a [`ReceiveBuffer`], never both.
    posted: Vec<AtomicBool>,
    buffer_bytes: usize,
    registration: Registration,
    domain: Arc<ProtectionDomain>,
}

// SAFETY: libibverbs may be called from any thread; the buffers have one owner each, see `posted`.
unsafe impl Send for ReceiveQueue {}
// SAFETY: as above.
unsafe impl Sync for ReceiveQueue {}

impl ReceiveQueue {
    /// With `count` buffers of `buffer_bytes`, all of them given to the device.
    pub fn new(
        domain: &Arc<ProtectionDomain>,
        count: u32,
        buffer_bytes: usize,
    ) -> Result<Arc<Self>, VerbsError> {
        const OPERATION: &str = "making a shared receive queue";
        let region =
            Region::new("scifs-receive", u64::from(count) * buffer_bytes as u64).map_err(|error| {
                VerbsError::Call { operation: OPERATION, source: std::io::Error::other(error) }
            })?;
        let registration = Registration::new(domain, &region.whole(), Access::Local)?;
        let mut attr = bindings::ibv_srq_init_attr::default();
        attr.attr.max_wr = count;
        attr.attr.max_sge = 1;
        // SAFETY: the domain is alive, and kept so by the result.
        let srq = unsafe { domain.device().library().verbs().ibv_create_srq(domain.raw(), &mut attr) };
        let srq = NonNull::new(srq).ok_or_else(|| VerbsError::last(OPERATION))?;
        let posted = (0..count).map(|_| AtomicBool::new(false)).collect();
        let this = Arc::new(Self { srq, posted, buffer_bytes, registration, domain: Arc::clone(domain) });
        (0..count).try_for_each(|index| this.post(index))?;
        Ok(this)
    }

    /// How many buffers there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.posted.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_srq {
        self.srq.as_ptr()
    }

    /// The buffer that a completion names; `None` if the device doesn't have it, which only a broken driver shows.
    pub fn take(self: &Arc<Self>, id: u64) -> Option<ReceiveBuffer> {
        let index = u32::try_from(id).ok()?;
        let posted = self.posted.get(index as usize)?;
        posted.swap(false, Ordering::AcqRel).then(|| ReceiveBuffer { queue: Arc::clone(self), index })
    }

    /// Gives a buffer to the device. The caller owns it.
    fn post(&self, index: u32) -> Result<(), VerbsError> {
        const OPERATION: &str = "posting a receive buffer";
        let post = self.domain.device().ops().post_srq_recv.ok_or_else(|| unsupported(OPERATION))?;
        let offset = index as usize * self.buffer_bytes;
        let part = self.registration.slice().part(offset, self.buffer_bytes).ok();
        let mut sge =
            part.and_then(|part| self.registration.sge(&part)).ok_or_else(|| unsupported(OPERATION))?;
        let mut wr = bindings::ibv_recv_wr {
            wr_id: index.into(),
            sg_list: sge.raw(),
            num_sge: 1,
            ..Default::default()
        };
        let mut bad = std::ptr::null_mut();
        if let Some(posted) = self.posted.get(index as usize) {
            posted.store(true, Ordering::Release);
        }
        // SAFETY: request and gather entry live for the call, which copies them; the buffer is registered, and nobody
        // reads it before its completion.
        VerbsError::check(OPERATION, unsafe { post(self.raw(), &mut wr, &mut bad) })
    }
}

impl Drop for ReceiveQueue {
    fn drop(&mut self) {
        // SAFETY: its queue pairs and taken buffers hold it, so none is left.
        let returned = unsafe { self.domain.device().library().verbs().ibv_destroy_srq(self.raw()) };
        if let Err(error) = VerbsError::check("closing a shared receive queue", returned) {
            tracing::error!(%error);
        }
    }
}

impl fmt::Debug for ReceiveQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveQueue").field("buffers", &self.posted.len()).finish_non_exhaustive()
    }
}

/// A buffer that the device has filled and given back. Dropping it returns it to the device.
#[derive(Debug)]
pub struct ReceiveBuffer {
    queue: Arc<ReceiveQueue>,
    index: u32,
}

impl ReceiveBuffer {
    /// The first `bytes` of it (or all, where there aren't so many).
    pub fn bytes(&self, bytes: usize) -> &[u8] {
        let offset = self.index as usize * self.queue.buffer_bytes;
        let base = self.queue.registration.slice().base().wrapping_add(offset);
        // SAFETY: inside the pool, which the queue keeps mapped. The device gave the buffer back and gets it again when
        // self is dropped, so nobody writes to it while the slice lives. No other process has the memory file.
        unsafe { std::slice::from_raw_parts(base, bytes.min(self.queue.buffer_bytes)) }
    }
}

impl Drop for ReceiveBuffer {
    fn drop(&mut self) {
        if let Err(error) = self.queue.post(self.index) {
            tracing::error!(%error, "one receive buffer is lost");
        }
    }
}
