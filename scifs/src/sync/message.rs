//! What members say to each other about waiting. Plain data; `codec.rs` makes bytes of it, `WIRE.md` shows them.

use super::ids::{Key, Rank, Round, Token, WaiterId};
use super::input::Refusal;
use crate::coherence::Epoch;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender's epoch. Messages of older ones are dropped.
    pub epoch: Epoch,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// To the key's keeper.
    Ask { key: Key, ask: Ask },
    /// You are in the queue. For a word: look at it now, and not at what you have seen before.
    Joined { token: Token, rank: Rank },
    /// The answer to `Stay`, if nobody has notified since you joined: whoever notifies from now on wakes you.
    Asleep { token: Token },
    /// You are not in the queue any more. `None` answers a `Leave`.
    Out { token: Token, why: Option<Refusal> },
    /// These waiters for a word are woken.
    Wake { tokens: Vec<Token>, how: How, confirm: Option<u64> },
    /// A barrier opens for these parties, of all nodes. Several messages if they are many; it opens with the last.
    Open {
        key: Key,
        round: Round,
        leader: WaiterId,
        parties: Vec<WaiterId>,
        confirm: Option<u64>,
        last: bool,
    },
    /// The answer where `confirm` asked for it, with its number.
    Heard { decision: u64 },
    /// The answer to `Notify`. `settled`: all those who were woken know it.
    Notified { token: Token, woken: u32, settled: bool },
    /// All those who were woken by it know it.
    NotifySettled { token: Token },
    /// All parties of the round know that it opened.
    RoundSettled { key: Key, round: Round },
    /// After a change of epoch, to every member: who waits here in queues that you keep now, and which barriers opened here of
    /// which others may not know.
    Report { waiting: Vec<WaitingReport>, opened: Vec<OpenedReport>, last: bool },
}

/// What a node asks of a queue's keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// `parties` of a barrier; 0 for a word.
    Join { token: Token, parties: u32 },
    /// The word was as expected when I looked, after you said that I'm in the queue.
    Stay { token: Token },
    /// Take me out. Answered by `Out`, unless I am woken already.
    Leave { token: Token },
    /// `again`: it was sent to an earlier keeper and nobody knows what came of it.
    Notify { token: Token, count: u32, again: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    Notified,
    /// Maybe somebody was to wake you: see for yourself.
    Unsure,
}

/// One who waits at a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitingReport {
    pub key: Key,
    pub token: Token,
    pub parties: u32,
    pub rank: Option<Rank>,
    /// An earlier keeper has said so.
    pub asleep: bool,
}

/// A round that a member has let its programs out of, or a part of its parties.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenedReport {
    pub key: Key,
    pub round: Round,
    pub leader: WaiterId,
    pub parties: Vec<WaiterId>,
}
