//! Messages by epoch: those of the past are dropped, those of a coming one kept until this node gets there.

use crate::coherence::{Epoch, MemberNo};

/// Messages of a coming epoch that are kept until this node is told of it, over all peers.
pub const EARLY_MESSAGES_MAX: usize = 1 << 18;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence<M> {
    early: Vec<(MemberNo, M)>,
}

/// What becomes of a message.
pub(crate) enum Passage<M> {
    Now(M),
    /// Of an epoch that is over.
    Past(M),
    Kept,
    TooMany,
}

impl<M> Default for Fence<M> {
    fn default() -> Self {
        Self { early: Vec::new() }
    }
}

impl<M> Fence<M> {
    pub(crate) fn pass(&mut self, now: Epoch, from: MemberNo, epoch: Epoch, message: M) -> Passage<M> {
        if epoch == now {
            return Passage::Now(message);
        }
        if epoch < now {
            return Passage::Past(message);
        }
        if self.early.len() >= EARLY_MESSAGES_MAX {
            return Passage::TooMany;
        }
        self.early.push((from, message));
        Passage::Kept
    }

    /// All that was kept, to be passed again in a new epoch.
    pub(crate) fn take(&mut self) -> Vec<(MemberNo, M)> {
        std::mem::take(&mut self.early)
    }
}
