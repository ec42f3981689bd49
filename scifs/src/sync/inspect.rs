//! What a test or a status report may see of the engine.

use super::engine::SyncEngine;
use super::ids::{Key, Token};
use super::queue::Queue;

impl SyncEngine {
    /// The queues that this node keeps.
    pub fn queues(&self) -> impl Iterator<Item = (&Key, &Queue)> {
        self.queues.iter()
    }

    /// Requests of this node's programs that whoever notifies from now on wakes.
    pub fn asleep(&self) -> impl Iterator<Item = (Key, Token)> {
        self.pending
            .iter()
            .filter(|(_, pending)| pending.asleep)
            .map(|(token, pending)| (pending.key, *token))
    }

    /// How many requests of this node's programs are under way, also those that only others have to hear of.
    pub fn requests(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing is under way that only another member's message can end.
    pub fn is_settled(&self) -> bool {
        self.recovery.is_none()
            && self.opening.is_empty()
            && self.opened.is_empty()
            && self.unsettled.is_empty()
    }
}
