//! A local request on its way. What a program asks for is at most one step up and one step down:
//!
//! ```text
//!  lock        Acquiring ──granted──▶ (a write lock that becomes a read lock: Lowering) ──▶ done
//!                 │  ▲
//!       cancelled │  │ the owner's own unlock has left
//!                 ▼  │
//!               Paused                        interrupted or doomed ──▶ refused
//!
//!  unlock      HeldUp ──no request of the same owner is out there──▶ Lowering ──done──▶ done
//!                                                                       └─ (flock that upgrades) ──▶ Acquiring
//! ```
//!
//! An owner's unlock never crosses a lock of the same owner and range that is under way (two threads of a process): nobody
//! could tell which came first. The lock is called back, the unlock sent, the lock asked for again.

use super::ids::{Kind, LocalOwner, Range};
use crate::coherence::Epoch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) inode: u64,
    pub(super) owner: LocalOwner,
    pub(super) pid: u32,
    pub(super) range: Range,
    /// What the program wants to hold in the end.
    pub(super) kind: Option<Kind>,
    pub(super) wait: bool,
    pub(super) since: Epoch,
    pub(super) step: Step,
    /// It went to the registrar, and no table here has seen it.
    pub(super) routed: bool,
    /// A `Cancel` is under way.
    pub(super) cancelled: bool,
    pub(super) interrupted: bool,
    /// The detector's search that found a deadlock.
    pub(super) doomed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Acquiring,
    Paused,
    HeldUp { to: Option<Kind>, then_acquire: bool },
    Lowering { then_acquire: bool },
    Testing { kind: Kind },
}

impl Pending {
    /// Whether it waits in a queue or may be about to.
    pub(super) fn waits(&self) -> bool {
        self.step == Step::Acquiring && self.wait && !self.cancelled
    }
}
