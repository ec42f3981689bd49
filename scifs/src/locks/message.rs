//! What members say to each other about locks. Plain data; `codec.rs` makes bytes of it.

use super::ids::{Kind, LocalOwner, Owner, Range, Token, WaiterId};
use super::input::{Conflict, Refusal};
use crate::coherence::{Epoch, MemberNo};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender's epoch. Messages of older ones are dropped.
    pub epoch: Epoch,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    // A request finds the table.
    /// To the file's registrar.
    Ask { inode: u64, ask: Ask },
    /// The registrar to the manager; a manager to whom it has just given the table.
    Forward { inode: u64, by: MemberNo, ask: Ask },
    /// The manager to who asked.
    Answer { token: Token, verdict: Verdict },

    // A table changes hands.
    /// The manager to the next one, which is granted `granted` by it.
    Table { inode: u64, parts: TableParts, granted: Vec<Token> },
    /// The old manager to the registrar.
    Moved { inode: u64, to: MemberNo },
    /// The registrar to the old manager, and that one to the new: nothing comes the old way any more.
    Confirm { inode: u64 },

    // Looking for deadlocks.
    /// To the detector: this request waits. Is that a deadlock?
    Seek(Seek),
    /// The detector to an owner's node: what does it wait for? (Only for this request, if one is named.)
    WhatWaits { search: u64, owner: LocalOwner, only: Option<Token> },
    /// The answer: as many lists of edges will come.
    Waits { search: u64, requests: u32 },
    /// A manager to the detector: whom this request waits for.
    Edges { search: u64, edges: Vec<Edge>, last: bool },
    /// The detector to the request's node: refuse it.
    Doomed { search: u64, token: Token },
    /// The answer: it has ended.
    Over { search: u64 },

    // After a change of epoch.
    /// To a registrar: what my programs hold.
    Report { held: Vec<HeldReport>, last: bool },
}

/// What a node asks of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Raise the range to at least `kind`. Never takes anything away.
    Acquire(Acquire),
    /// Lower the range to at most `to`. Always succeeds.
    Lower { owner: LocalOwner, range: Range, to: Option<Kind>, token: Token },
    /// Take the waiting request out.
    Cancel { token: Token },
    /// Which lock stands in the way?
    Test { owner: LocalOwner, range: Range, kind: Kind, token: Token },
    /// Only answer, when everything before has been done.
    Sync { token: Token },
    /// Tell the detector whom this request waits for.
    Edges { search: u64, token: Token },
    /// Let this request overtake those which wait before it, or it would never end.
    Jump { waiter: WaiterId },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acquire {
    pub owner: LocalOwner,
    pub pid: u32,
    pub range: Range,
    pub kind: Kind,
    pub wait: bool,
    /// Somebody may be waiting for the owner: if it has to wait, look for a deadlock.
    pub seek: bool,
    /// The epoch in which it was first asked: the oldest go first after a change of epoch.
    pub since: Epoch,
    pub token: Token,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Granted,
    Refused(Refusal),
    /// A `Lower` or a `Sync` is done.
    Done,
    /// A `Cancel` came before the grant.
    Cancelled,
    Tested(Option<Conflict>),
}

/// A lock table as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TableParts {
    pub clock: u64,
    pub held: Vec<HeldPart>,
    /// In the order in which they wait.
    pub waiting: Vec<WaitingPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldPart {
    pub owner: Owner,
    pub pid: u32,
    pub since: u64,
    pub range: Range,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitingPart {
    pub node: MemberNo,
    pub place: u64,
    pub jumps: bool,
    pub acquire: Acquire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seek {
    pub waiter: WaiterId,
    pub owner: LocalOwner,
}

/// `from` waits for `to`. Two equal edges seen one after the other are one edge that existed all the time between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    pub inode: u64,
    pub waiter: WaiterId,
    pub from: Owner,
    pub to: Owner,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// `to` holds a lock, and hasn't given anything of this file up since that moment of the table's clock.
    Holds { since: u64 },
    /// `to` waits before it, at that place of the queue.
    WaitsBefore { place: u64 },
}

/// A piece of what a member's program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldReport {
    pub inode: u64,
    pub owner: LocalOwner,
    pub pid: u32,
    pub range: Range,
    pub kind: Kind,
}
