//! What has been done: completion queues, and the channel on which a sleeper is woken.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use super::bindings::{
    self, IBV_WC_RECV, IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_REM_ACCESS_ERR, IBV_WC_REM_INV_REQ_ERR,
    IBV_WC_SUCCESS, IBV_WC_WITH_IMM, IBV_WC_WR_FLUSH_ERR,
};
use super::protection::unsupported;
use super::{Device, VerbsError};

/// How many completions one call takes.
const POLL_BATCH: usize = 32;

/// A file that becomes readable when an armed completion queue gets a completion.
#[derive(Debug)]
pub struct Channel {
    channel: NonNull<bindings::ibv_comp_channel>,
    device: Arc<Device>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Channel {}
// SAFETY: as above.
unsafe impl Sync for Channel {}

impl Channel {
    pub fn new(device: &Arc<Device>) -> Result<Arc<Self>, VerbsError> {
        const OPERATION: &str = "making a completion channel";
        // SAFETY: the device is open.
        let channel = unsafe { device.library().verbs().ibv_create_comp_channel(device.raw()) };
        let channel = NonNull::new(channel).ok_or_else(|| VerbsError::last(OPERATION))?;
        let this = Self { channel, device: Arc::clone(device) };
        let call_error =
            |errno: rustix::io::Errno| VerbsError::Call { operation: OPERATION, source: errno.into() };
        let flags = rustix::fs::fcntl_getfl(&this).map_err(call_error)?;
        rustix::fs::fcntl_setfl(&this, flags | rustix::fs::OFlags::NONBLOCK).map_err(call_error)?;
        Ok(Arc::new(this))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the channel's file is open as long as the channel is.
        unsafe { BorrowedFd::borrow_raw((*self.channel.as_ptr()).fd) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: its completion queues hold it, so none is left.
        let returned =
            unsafe { self.device.library().verbs().ibv_destroy_comp_channel(self.channel.as_ptr()) };
        if let Err(error) = VerbsError::check("closing a completion channel", returned) {
            tracing::error!(%error);
        }
    }
}

/// One completed piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As given with the work.
    pub id: u64,
    /// This side's number of the queue pair.
    pub queue_pair: u32,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(CompletionKind),
    /// The queue pair had failed before.
    Flushed,
    /// The peer's device refused the access.
    Denied,
    /// Any other failure, as `enum ibv_wc_status`.
    Failed(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionKind {
    Sent,
    Received {
        bytes: usize,
        imm: u32,
    },
    /// A peer's write with an immediate number.
    Written {
        bytes: usize,
        imm: u32,
    },
}

#[derive(Debug)]
pub struct CompletionQueue {
    cq: NonNull<bindings::ibv_cq>,
    channel: Arc<Channel>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for CompletionQueue {}
// SAFETY: as above.
unsafe impl Sync for CompletionQueue {}

impl CompletionQueue {
    pub fn new(channel: &Arc<Channel>, entries: u32) -> Result<Arc<Self>, VerbsError> {
        let device = &channel.device;
        let entries = i32::try_from(entries).unwrap_or(i32::MAX);
        let verbs = device.library().verbs();
        // SAFETY: device and channel are alive, and kept so by the result.
        let cq = unsafe {
            verbs.ibv_create_cq(device.raw(), entries, std::ptr::null_mut(), channel.channel.as_ptr(), 0)
        };
        let cq = NonNull::new(cq).ok_or_else(|| VerbsError::last("making a completion queue"))?;
        Ok(Arc::new(Self { cq, channel: Arc::clone(channel) }))
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_cq {
        self.cq.as_ptr()
    }

    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    pub fn status_name(&self, status: u32) -> &str {
        self.channel.device.library().status_name(status)
    }

    /// Takes up to [`POLL_BATCH`] completions and hands them to `each`, in order. Returns how many there were.
    pub fn poll(&self, mut each: impl FnMut(Completion)) -> Result<usize, VerbsError> {
        const OPERATION: &str = "polling a completion queue";
        let poll = self.channel.device.ops().poll_cq.ok_or_else(|| unsupported(OPERATION))?;
        let mut taken = [const { std::mem::MaybeUninit::<bindings::ibv_wc>::uninit() }; POLL_BATCH];
        // SAFETY: room for POLL_BATCH entries, of which the driver fills in the first ones.
        let count = unsafe { poll(self.raw(), POLL_BATCH as i32, taken.as_mut_ptr().cast()) };
        let count = usize::try_from(count).map_err(|_| VerbsError::Call {
            operation: OPERATION,
            source: io::Error::from_raw_os_error(-count),
        })?;
        for entry in taken.iter().take(count) {
            // SAFETY: among the `count` entries that the driver has filled in.
            each(Completion::from_raw(unsafe { entry.assume_init_ref() }));
        }
        Ok(count)
    }

    /// Asks for the channel to become readable with the next completion. One that came before doesn't count: poll
    /// once more before sleeping.
    pub fn arm(&self) -> Result<(), VerbsError> {
        const OPERATION: &str = "arming a completion queue";
        let arm = self.channel.device.ops().req_notify_cq.ok_or_else(|| unsupported(OPERATION))?;
        // SAFETY: the queue is alive.
        VerbsError::check(OPERATION, unsafe { arm(self.raw(), 0) })
    }

    /// Takes the channel's wake-ups, so that it isn't readable any longer.
    pub fn take_wakeups(&self) {
        let verbs = self.channel.device.library().verbs();
        let (mut cq, mut context) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: both pointers are written; the channel doesn't block.
        while unsafe { verbs.ibv_get_cq_event(self.channel.channel.as_ptr(), &mut cq, &mut context) } == 0 {
            // SAFETY: the channel has this queue only. Unacknowledged, the wake-up would block its destruction.
            unsafe { verbs.ibv_ack_cq_events(cq, 1) };
        }
    }
}

impl Drop for CompletionQueue {
    fn drop(&mut self) {
        // SAFETY: its queue pairs hold it, so none is left.
        let returned = unsafe { self.channel.device.library().verbs().ibv_destroy_cq(self.raw()) };
        if let Err(error) = VerbsError::check("closing a completion queue", returned) {
            tracing::error!(%error);
        }
    }
}

impl Completion {
    fn from_raw(wc: &bindings::ibv_wc) -> Self {
        let bytes = wc.byte_len as usize;
        // Everything that is sent here carries a number; what doesn't is a stranger's, and counts as 0.
        let imm = match wc.wc_flags & IBV_WC_WITH_IMM {
            0 => 0,
            // SAFETY: the flag says which member of the union is filled in.
            _ => u32::from_be(unsafe { wc.__bindgen_anon_1.imm_data }),
        };
        let outcome = match (wc.status, wc.opcode) {
            (IBV_WC_SUCCESS, IBV_WC_RECV_RDMA_WITH_IMM) => {
                Outcome::Done(CompletionKind::Written { bytes, imm })
            }
            (IBV_WC_SUCCESS, IBV_WC_RECV) => Outcome::Done(CompletionKind::Received { bytes, imm }),
            (IBV_WC_SUCCESS, _) => Outcome::Done(CompletionKind::Sent),
            (IBV_WC_WR_FLUSH_ERR, _) => Outcome::Flushed,
            (IBV_WC_REM_ACCESS_ERR | IBV_WC_REM_INV_REQ_ERR, _) => Outcome::Denied,
            (status, _) => Outcome::Failed(status),
        };
        Self { id: wc.wr_id, queue_pair: wc.qp_num, outcome }
    }
}
