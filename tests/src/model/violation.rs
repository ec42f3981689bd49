//! What must not be.

use scifs::coherence::{MemberNo, PageId, Violation as Breach};
use thiserror::Error;

use super::station::Value;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    #[error("{page:?}: a node may write while {other:?} maps it")]
    TwoMasters { page: PageId, other: MemberNo },
    #[error("{page:?}: a read returned write {got}, the last one was {last}")]
    StaleRead { page: PageId, got: Value, last: Value },
    #[error("{page:?}: version {version} of a new writer isn't beyond {last}")]
    VersionReused { page: PageId, version: u64, last: u64 },
    #[error("{0:?}: bytes are needed that aren't there")]
    NoBytes(PageId),
    #[error("{0:?}: the frame is freed while it is mapped")]
    FreedWhileMapped(PageId),
    #[error("{0:?}: lost, though only survivors had copies")]
    LostWithoutNeed(PageId),
    #[error("{0:?}: nothing is under way, and a request is unanswered")]
    Unanswered(PageId),
    #[error("{page:?}: quiet, but the home believes {home} and the holders are {holders}")]
    Disagreement { page: PageId, home: String, holders: String },
    #[error("the cluster came back to a state it had been in: something can go round for ever")]
    Cycle,
    #[error("an honest {peer:?} is distrusted about {page:?}: {why}")]
    Distrust { peer: MemberNo, page: PageId, why: Breach },
    #[error("a node believes that it missed a view")]
    Rejoin,
    #[error("the histories of all threads together have no sequentially consistent order: {0}")]
    NotSequential(String),
    #[error("more than {0} states: raise the limit or make the cluster smaller")]
    TooMany(usize),
    #[error("nothing had ended after {0} simulated steps")]
    Endless(usize),
}
