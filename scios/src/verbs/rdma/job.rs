//! What waits to be posted to a queue pair, with everything it needs for that.

use std::sync::Arc;

use super::ffi::{Registration, Remote, Sge, WorkKind};
use crate::verbs::OpId;

#[derive(Debug)]
pub(super) enum Job {
    Message(Box<[u8]>),
    Operation(Operation),
}

/// A one-sided operation, checked and with its local memory registered.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) id: OpId,
    pub(super) kind: OperationKind,
    /// The local memory; empty for atomics, whose result goes to a slot.
    pub(super) sges: Vec<Sge>,
    /// Keeps the local memory registered until the operation has ended.
    pub(super) registrations: Vec<Arc<Registration>>,
    /// The message that follows a `Place`.
    pub(super) head: Option<Box<[u8]>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum OperationKind {
    Read { from: Remote },
    Write { into: Remote },
    WriteImm { into: Remote, imm: u32 },
    CompareAndSwap { at: Remote, expected: u64, new: u64 },
    FetchAdd { at: Remote, add: u64 },
}

/// What must be free before a job can be posted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    pub(super) works: u64,
    /// It takes a receive buffer of the peer.
    pub(super) message: bool,
    /// 0 for none.
    pub(super) slot_bytes: usize,
}

/// What a message counts against the queue's bound beside its bytes, so that empty ones are bounded too.
pub(super) const MESSAGE_COST_BYTES: usize = 64;

/// Atomics give back one word.
pub(super) const ATOMIC_BYTES: usize = 8;

impl OperationKind {
    pub(super) fn is_atomic(self) -> bool {
        matches!(self, Self::CompareAndSwap { .. } | Self::FetchAdd { .. })
    }

    pub(super) fn work(self) -> WorkKind<'static> {
        match self {
            Self::Read { from } => WorkKind::Read { from },
            Self::Write { into } => WorkKind::Write { into },
            Self::WriteImm { into, imm } => WorkKind::WriteImm { into, imm },
            Self::CompareAndSwap { at, expected, new } => WorkKind::CompareAndSwap { at, expected, new },
            Self::FetchAdd { at, add } => WorkKind::FetchAdd { at, add },
        }
    }
}

impl Operation {
    pub(super) fn head_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.len())
    }

    pub(super) fn needs(&self, inline_bytes: usize) -> Needs {
        let slot_bytes = match &self.head {
            Some(head) => message_needs(head.len(), inline_bytes).slot_bytes,
            None if self.kind.is_atomic() => ATOMIC_BYTES,
            None => 0,
        };
        let message = self.head.is_some() || matches!(self.kind, OperationKind::WriteImm { .. });
        Needs { works: 1 + u64::from(self.head.is_some()), message, slot_bytes }
    }
}

impl Job {
    pub(super) fn needs(&self, inline_bytes: usize) -> Needs {
        match self {
            Self::Message(bytes) => message_needs(bytes.len(), inline_bytes),
            Self::Operation(operation) => operation.needs(inline_bytes),
        }
    }
}

/// Short messages are copied into the work request itself.
pub(super) fn message_needs(bytes: usize, inline_bytes: usize) -> Needs {
    let slot_bytes = if bytes <= inline_bytes { 0 } else { bytes };
    Needs { works: 1, message: true, slot_bytes }
}
