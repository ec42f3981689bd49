//! What a node is to be told, kept until the simulator's lock is free: handlers call back into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::trace::Trace;
use crate::verbs::{ConnectError, DownReason, Event, Handler, OpError, OpId};
use crate::{Nanos, NodeId};

/// An [`Event`] that owns its bytes.
#[derive(Debug)]
pub(super) enum Told {
    Up { peer: NodeId, address: String },
    Down { peer: NodeId, reason: DownReason },
    ConnectFailed { address: String, reason: ConnectError },
    Message { peer: NodeId, bytes: Vec<u8> },
    Written { peer: NodeId, imm: u32, bytes: usize },
    Done { peer: NodeId, op: OpId, result: Result<u64, OpError> },
    Writable { peer: NodeId },
    Tick { now: Nanos },
}

pub(super) struct Call {
    pub(super) handler: Arc<dyn Handler>,
    /// Of the node; an earlier call of the same step may have stopped it.
    pub(super) running: Arc<AtomicBool>,
    pub(super) told: Told,
}

impl Call {
    pub(super) fn make(&self) {
        if self.running.load(Ordering::Relaxed) {
            self.handler.on_event(self.told.event());
        }
    }
}

impl Told {
    fn event(&self) -> Event<'_> {
        match self {
            Self::Up { peer, address } => Event::Up { peer: *peer, address },
            Self::Down { peer, reason } => Event::Down { peer: *peer, reason: reason.clone() },
            Self::ConnectFailed { address, reason } => {
                Event::ConnectFailed { address, reason: reason.clone() }
            }
            Self::Message { peer, bytes } => Event::Message { peer: *peer, bytes },
            Self::Written { peer, imm, bytes } => Event::Written { peer: *peer, imm: *imm, bytes: *bytes },
            Self::Done { peer, op, result } => Event::Done { peer: *peer, op: *op, result: *result },
            Self::Writable { peer } => Event::Writable { peer: *peer },
            Self::Tick { now } => Event::Tick { now: *now },
        }
    }

    /// All of it, so that two runs that differ in any byte told to anybody differ in their digest.
    pub(super) fn record(&self, trace: &mut Trace) {
        let (kind, peer, value) = match self {
            Self::Up { peer, .. } => (1, *peer, 0),
            Self::Down { peer, .. } => (2, *peer, 0),
            Self::Message { peer, .. } => (3, *peer, 0),
            Self::Written { peer, imm, bytes } => (4, *peer, (u64::from(*imm) << 32) ^ *bytes as u64),
            Self::Done { peer, op, result } => (5, *peer, op.0 ^ result.unwrap_or(u64::MAX)),
            Self::Writable { peer } => (6, *peer, 0),
            Self::Tick { now } => return trace.word(now.0),
            Self::ConnectFailed { address, reason } => {
                trace.bytes(address.as_bytes());
                return trace.bytes(reason.to_string().as_bytes());
            }
        };
        trace.word(kind);
        trace.word(peer.get());
        trace.word(value);
        match self {
            Self::Message { bytes, .. } => trace.bytes(bytes),
            Self::Down { reason, .. } => trace.bytes(reason.to_string().as_bytes()),
            _ => {}
        }
    }
}
