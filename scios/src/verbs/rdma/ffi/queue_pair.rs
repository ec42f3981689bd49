//! A reliable connection's end.

use std::ptr::NonNull;
use std::sync::Arc;

use super::bindings::{
    self, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE, IBV_QP_ACCESS_FLAGS,
    IBV_QP_AV, IBV_QP_DEST_QPN, IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_MAX_QP_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER,
    IBV_QP_PATH_MTU, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_RQ_PSN,
    IBV_QP_SQ_PSN, IBV_QP_STATE, IBV_QP_TIMEOUT, IBV_QPS_ERR, IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS,
    IBV_QPT_RC,
};
use super::protection::unsupported;
use super::{CompletionQueue, ProtectionDomain, ReceiveQueue, VerbsError, Work};

/// How long a sender waits for an acknowledgement: 4.096 µs << 14 = 67 ms, and how often it asks again. Together half a
/// second, which 5 % of lost packets don't exhaust; whether a peer is alive is decided elsewhere.
const ACK_TIMEOUT: u8 = 14;
const ACK_RETRIES: u8 = 7;

/// A receiver without a free buffer is asked again after 1.28 ms, and for ever: the peer is slow, not gone.
const NOT_READY_TIMER: u8 = 14;
const NOT_READY_RETRIES_UNLIMITED: u8 = 7;

const HOP_LIMIT: u8 = 64;

/// The most pieces of work that one call posts.
const WORKS_MAX: usize = 2;

#[derive(Clone, Copy, Debug)]
pub struct QueuePairSizes {
    pub works: u32,
    pub gather: u32,
    /// Asked for; a device that has less gives less.
    pub inline_bytes: u32,
}

/// Where the peer's end is, and what both devices can do.
#[derive(Clone, Copy, Debug)]
pub struct PathToPeer {
    pub local_port: u8,
    pub local_gid_index: u8,
    pub local_packet: u32,
    pub queue_pair: u32,
    pub packet: u32,
    pub gid: [u8; 16],
    pub lid: u16,
    pub mtu: u8,
    pub reads_asked: u8,
    pub reads_answered: u8,
}

#[derive(Debug)]
pub struct QueuePair {
    qp: NonNull<bindings::ibv_qp>,
    inline_bytes: usize,
    _completions: Arc<CompletionQueue>,
    _receives: Arc<ReceiveQueue>,
    domain: Arc<ProtectionDomain>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for QueuePair {}
// SAFETY: as above.
unsafe impl Sync for QueuePair {}

impl QueuePair {
    pub fn new(
        domain: &Arc<ProtectionDomain>,
        completions: &Arc<CompletionQueue>,
        receives: &Arc<ReceiveQueue>,
        sizes: QueuePairSizes,
    ) -> Result<Self, VerbsError> {
        let verbs = domain.device().library().verbs();
        let mut inline_bytes = sizes.inline_bytes;
        loop {
            let mut attr = bindings::ibv_qp_init_attr {
                send_cq: completions.raw(),
                recv_cq: completions.raw(),
                srq: receives.raw(),
                cap: bindings::ibv_qp_cap {
                    max_send_wr: sizes.works,
                    max_send_sge: sizes.gather,
                    max_inline_data: inline_bytes,
                    ..Default::default()
                },
                qp_type: IBV_QPT_RC,
                ..Default::default()
            };
            // SAFETY: domain and queues are alive, and kept so by the result.
            if let Some(qp) = NonNull::new(unsafe { verbs.ibv_create_qp(domain.raw(), &mut attr) }) {
                return Ok(Self {
                    qp,
                    inline_bytes: attr.cap.max_inline_data as usize,
                    _completions: Arc::clone(completions),
                    _receives: Arc::clone(receives),
                    domain: Arc::clone(domain),
                });
            }
            if inline_bytes == 0 {
                return Err(VerbsError::last("making a queue pair"));
            }
            // There is no limit to ask a device for: it refuses what is too much.
            inline_bytes /= 2;
        }
    }

    pub fn number(&self) -> u32 {
        // SAFETY: alive as long as self.
        unsafe { (*self.qp.as_ptr()).qp_num }
    }

    pub fn inline_bytes(&self) -> usize {
        self.inline_bytes
    }

    /// From new to ready: INIT, ready to receive, ready to send.
    pub fn connect(&self, path: &PathToPeer) -> Result<(), VerbsError> {
        let mut init = bindings::ibv_qp_attr {
            qp_state: IBV_QPS_INIT,
            port_num: path.local_port,
            // What a peer may do at all; the windows say with what.
            qp_access_flags: IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
            ..Default::default()
        };
        let mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
        self.modify("initializing a queue pair", &mut init, mask)?;

        let mut receive = bindings::ibv_qp_attr {
            qp_state: IBV_QPS_RTR,
            path_mtu: path.mtu.into(),
            dest_qp_num: path.queue_pair,
            rq_psn: path.packet,
            max_dest_rd_atomic: path.reads_answered,
            min_rnr_timer: NOT_READY_TIMER,
            ..Default::default()
        };
        receive.ah_attr.is_global = 1;
        receive.ah_attr.dlid = path.lid;
        receive.ah_attr.port_num = path.local_port;
        receive.ah_attr.grh.dgid.raw = path.gid;
        receive.ah_attr.grh.sgid_index = path.local_gid_index;
        receive.ah_attr.grh.hop_limit = HOP_LIMIT;
        let mask = IBV_QP_STATE
            | IBV_QP_AV
            | IBV_QP_PATH_MTU
            | IBV_QP_DEST_QPN
            | IBV_QP_RQ_PSN
            | IBV_QP_MAX_DEST_RD_ATOMIC
            | IBV_QP_MIN_RNR_TIMER;
        self.modify("making a queue pair ready to receive", &mut receive, mask)?;

        let mut send = bindings::ibv_qp_attr {
            qp_state: IBV_QPS_RTS,
            timeout: ACK_TIMEOUT,
            retry_cnt: ACK_RETRIES,
            rnr_retry: NOT_READY_RETRIES_UNLIMITED,
            sq_psn: path.local_packet,
            max_rd_atomic: path.reads_asked,
            ..Default::default()
        };
        let mask = IBV_QP_STATE
            | IBV_QP_TIMEOUT
            | IBV_QP_RETRY_CNT
            | IBV_QP_RNR_RETRY
            | IBV_QP_SQ_PSN
            | IBV_QP_MAX_QP_RD_ATOMIC;
        self.modify("making a queue pair ready to send", &mut send, mask)
    }

    /// Ends the connection at once. Work that is under way and work posted later complete as `Flushed`.
    pub fn fail(&self) -> Result<(), VerbsError> {
        let mut attr = bindings::ibv_qp_attr { qp_state: IBV_QPS_ERR, ..Default::default() };
        self.modify("ending a queue pair", &mut attr, IBV_QP_STATE)
    }

    fn modify(
        &self,
        operation: &'static str,
        attr: &mut bindings::ibv_qp_attr,
        mask: bindings::ibv_qp_attr_mask,
    ) -> Result<(), VerbsError> {
        // SAFETY: the queue pair is alive; the mask names members of `attr` that are set.
        let returned = unsafe {
            self.domain.device().library().verbs().ibv_modify_qp(self.qp.as_ptr(), attr, mask.cast_signed())
        };
        VerbsError::check(operation, returned)
    }

    /// Begins up to [`WORKS_MAX`] pieces of work, in order, with one call of the driver. After an error it isn't known how
    /// much of it was begun: `fail` the queue pair.
    pub fn post(&self, works: &[Work<'_>]) -> Result<(), VerbsError> {
        const OPERATION: &str = "posting work";
        let post = self.domain.device().ops().post_send.ok_or_else(|| unsupported(OPERATION))?;
        if works.is_empty() || works.len() > WORKS_MAX {
            return VerbsError::check(OPERATION, libc::EINVAL);
        }
        let mut requests = [bindings::ibv_send_wr::default(); WORKS_MAX];
        let mut inlines = [bindings::ibv_sge::default(); WORKS_MAX];
        for ((work, request), inline) in works.iter().zip(&mut requests).zip(&mut inlines) {
            work.fill(request, inline);
        }
        let [first, second] = &mut requests;
        if works.len() == WORKS_MAX {
            first.next = second;
        }
        let mut bad = std::ptr::null_mut();
        // SAFETY: requests, gather lists and inline bytes live for the call, which copies them. What the device reads
        // or writes later lies in registrations, and the device checks that it does.
        VerbsError::check(OPERATION, unsafe { post(self.qp.as_ptr(), first, &mut bad) })
    }
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        // SAFETY: made by `new`, dropped once; its windows have been dropped before.
        let returned = unsafe { self.domain.device().library().verbs().ibv_destroy_qp(self.qp.as_ptr()) };
        if let Err(error) = VerbsError::check("closing a queue pair", returned) {
            tracing::error!(%error);
        }
    }
}
