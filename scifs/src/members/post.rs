//! The way to other members.

use std::fmt::Display;

use crate::coherence::MemberNo;

/// What a part needs from the node to speak with other members.
pub trait Post<M>: Send + Sync {
    /// Queues a message: never waits, never calls the sender, keeps the order of messages to a member. `to` may be a
    /// newcomer of whom only its messages are known yet. A message that can't be delivered to a member that lives has to raise
    /// the epoch (a `Break`).
    fn send(&self, to: MemberNo, message: &M);
    /// The peer broke the protocol.
    fn distrust(&self, peer: MemberNo, why: &dyn Display);
    /// This node missed a view: it has to join again as a new member.
    fn rejoin(&self);
}
