//! A local request on its way.
//!
//! ```text
//!  word      Joining ──joined──▶ Looking ──as expected──▶ Waiting ──woken──▶ ended
//!               │                 │  ▲ another value         │ │
//!               │                 │  └──look again───────────┘ │
//!               └──────withdrawn──┴──────▶ Leaving ◀───────────┘   (woken on the way: ended as woken)
//!
//!  barrier   Joining ──joined──▶ Waiting ──opened──▶ ended
//!
//!  notify    Notifying ──notified──▶ ended ──▶ (Settling: kept until all who were woken know it)
//! ```

use super::ids::{Key, Rank};
use super::input::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) key: Key,
    /// Of a barrier.
    pub(super) parties: u32,
    /// Of a notification.
    pub(super) count: u32,
    pub(super) step: Step,
    pub(super) rank: Option<Rank>,
    /// A keeper has said so: whoever notifies wakes it, also while it looks once more after a change of epoch.
    pub(super) asleep: bool,
    /// Its time was over before it had looked at the word: it leaves after that.
    pub(super) late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Joining,
    Looking { look: u64 },
    Waiting,
    Leaving { why: Refusal },
    Notifying,
    Settling,
}

impl Pending {
    pub(super) fn new(key: Key, step: Step) -> Self {
        Self { key, parties: 0, count: 0, step, rank: None, asleep: false, late: false }
    }

    pub(super) fn is_word(&self) -> bool {
        matches!(self.key, Key::Word(_))
    }

    /// Whether it is, or is about to be, in a queue.
    pub(super) fn waits(&self) -> bool {
        !matches!(self.step, Step::Notifying | Step::Settling)
    }
}
