//! What members say to each other about pages. Plain data; the codec is SciOS's.
//!
//! A message concerns a run of pages: pages that are treated alike travel together (the engine joins them as it queues
//! them), and are handled one after the other in ascending order. Bytes of pages follow the message exactly when its
//! body says [`Data::Carried`]: `run` times `PAGE_BYTES`, in order.

use super::ids::{Epoch, ExtentId, MemberNo, Mode, PageId};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender's epoch. Messages of older ones are dropped.
    pub epoch: Epoch,
    /// The first page; for messages about an extent, the extent's first page.
    pub page: PageId,
    /// How many pages from there on, within one extent; at least 1.
    pub run: u16,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    // Finding a home: extent by extent, once.
    /// To the registrar: who is the extent's home? The first who asks touches it first.
    Where,
    /// The registrar's answer.
    Here {
        home: MemberNo,
    },
    /// Registrar to its deputy, when the registrar is the home itself: remember that the extent is in use.
    Note {
        home: MemberNo,
    },
    Noted,

    // A page changes hands.
    /// To the home: `fresh` when the asker will overwrite all of it, so that even a lost page will do.
    Get {
        mode: Mode,
        fresh: bool,
    },
    /// The home to who holds a copy.
    Order(Order),
    /// The page or a copy of it, from who holds it or from the home.
    Grant(Grant),
    /// The home to the asker: every copy died with its holder.
    Refuse,
    /// A sharer to the new writer: my copy is gone.
    Ack,
    /// The new holder to the giver: it has arrived, forget it.
    Got,
    /// To the home: what you began is complete.
    Done,
    /// To the home: I'd like to give this up. A hint; the home may ignore it.
    Put,

    // After a change of epoch.
    /// To a home or a registrar: what I hold and know.
    Report(Report),
    /// The home to the giver of a page whose transfer was cut short: is your copy the page (`keep`), or history?
    Settle {
        keep: bool,
    },

    // A member leaves in an orderly way.
    /// Please have a copy of this page. A hint; whoever has no room ignores it.
    Take,
    /// To everybody: I begin nothing any more. These extents of mine you may become the home of.
    Farewell(Report),
    /// What you granted me before has arrived.
    Heard,
}

/// What the home tells a holder to do, for `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    pub task: Task,
    pub to: MemberNo,
    /// How many acknowledgements `to` has to wait for.
    pub acks: u16,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Give `to` a copy and keep one.
    Lend,
    /// Give `to` the page.
    Cede,
    /// Drop the copy and tell `to` (`Ack`).
    Invalidate,
    /// Drop the copy and tell the home (`Done`).
    Expel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub mode: Mode,
    pub data: Data,
    /// Acknowledgements of sharers to wait for before the page may be written.
    pub acks: u16,
    /// Grows with every change of writer.
    pub version: u64,
    pub confirm: Confirm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Data {
    /// The asker's own copy is current.
    Kept,
    /// All zeros: never touched, or lost and about to be overwritten.
    Zero,
    /// The bytes follow.
    Carried,
}

/// Whom the asker tells when all is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirm {
    Nobody,
    /// `Got` to the sender of the grant, who tells the home.
    Giver,
    /// `Done` to the home.
    Home,
}

/// What one member holds and knows, for one other member as home or registrar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    pub extents: Vec<ExtentReport>,
    pub pages: Vec<PageReport>,
    /// Nothing follows from this member.
    pub last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExtentReport {
    pub extent: ExtentId,
    pub home: MemberNo,
    /// A home of this extent died: pages that nobody holds are lost, not untouched.
    pub lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageReport {
    pub page: PageId,
    pub held: HeldAs,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldAs {
    Shared,
    Exclusive,
    /// Given away but not known to have arrived; `taker_lives` when the taker is still a member.
    Ceded {
        taker_lives: bool,
    },
}

impl Body {
    pub fn carries_pages(&self) -> bool {
        matches!(self, Self::Grant(Grant { data: Data::Carried, .. }))
    }
}
