//! What goes into the engine and what comes out.

use super::ids::{Epoch, MapperId, MemberNo, Mode, PageId, Token};
use super::message::Message;
use super::page_state::ImpossibleEvent;
use scios::Nanos;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A surface needs access. Ends in exactly one `Install` or `Failed` with the token, unless cancelled.
    Fault(Fault),
    /// The surface no longer wants the answer to a `Fault`. One that will overwrite its page can't be cancelled: zeros may
    /// already have taken the place of a lost page.
    Cancel { page: PageId, token: Token },
    /// A mapper lost its hold: the answer to `Revoke` (nothing left) and `Downgrade` (reading left; a surface that
    /// can't downgrade revokes), after its changes are in the frame. Also unasked, when a surface unmaps or dies.
    /// `run` pages from `page` on, within one extent: what was taken in one call is answered in one input, so that what it
    /// lets through leaves in one message.
    Released { page: PageId, run: u16, mapper: MapperId, left: Option<Mode> },
    /// Memory is short: give this page up if nobody here needs it. Ends in `Free`, or in nothing.
    Evict { page: PageId },
    /// A member's message. The bytes that it carries stay with the driver until the effects are performed.
    Message { from: MemberNo, message: Message },
    /// A `SetTimer` is due.
    Timer { page: PageId },
    /// The membership changed.
    View(View),
    /// This member wants to leave: see `leaving.rs`. No `Fault` follows.
    Leave,
    /// While leaving: `run` pages from `page` on, within one extent, are offered to a member that has room.
    Offer { page: PageId, run: u16, to: MemberNo },
    /// While leaving: there is nothing left to hand over. Given again until `Engine::has_handed_over`.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    pub page: PageId,
    pub mapper: MapperId,
    pub mode: Mode,
    /// All of `page` will be overwritten: a lost page comes back to life, as zeros for the moment.
    pub fresh: bool,
    /// How many pages to fetch beginning with `page`; 1 for no other. What lies beyond the extent is left out.
    pub run: u16,
    pub token: Token,
}

/// Who belongs to the cluster. Given in the order of the membership's log, no epoch skipped; the same epoch comes
/// again when members joined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub epoch: Epoch,
    /// Ascending by number.
    pub members: Vec<Member>,
    /// Who left with this epoch, if that was in an orderly way: `Engine::has_handed_over` was true for all its shards in the
    /// epoch before.
    pub handed_over: Option<MemberNo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    pub no: MemberNo,
    /// The epoch in force when it joined. Tells a member from an earlier owner of its number, and makes the members that
    /// count for placement the same on all nodes of an epoch, however late each hears of a newcomer.
    pub joined: Epoch,
}

/// What the driver does, in this order. Every list of effects is complete in itself: performed before the next input
/// of this shard goes in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send, with the frames' bytes as they are now if the body carries pages.
    Send {
        to: MemberNo,
        message: Message,
    },
    /// Put the bytes that came with the message being handled into the page's frame.
    Fill {
        page: PageId,
    },
    /// Give the page a frame of zeros.
    Zero {
        page: PageId,
    },
    /// Let the mapper do `mode`, and answer the request if a token is there. For `MapperId::DIRECT`:
    /// access the frame now if there is a token.
    Install {
        page: PageId,
        mapper: MapperId,
        mode: Mode,
        token: Option<Token>,
    },
    /// Take the page from the mapper, changes into the frame; answer with `Released`.
    Revoke {
        page: PageId,
        mapper: MapperId,
    },
    /// Leave the mapper only reading, changes into the frame; answer with `Released`.
    Downgrade {
        page: PageId,
        mapper: MapperId,
    },
    /// The frame is not needed any more.
    Free {
        page: PageId,
    },
    Failed {
        page: PageId,
        token: Token,
        error: PageError,
    },
    /// Come back with `Timer` at that time.
    SetTimer {
        page: PageId,
        at: Nanos,
    },
    /// The peer broke the protocol: log it and close its connection. Nothing was changed by its message.
    Distrust {
        peer: MemberNo,
        page: PageId,
        why: Violation,
    },
    /// A view was skipped, so what this node holds can't be trusted: leave, and join again as a new member.
    Rejoin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PageError {
    #[error(
        "the page is lost: every node that held it died (overwrite it whole or truncate the file to use it again)"
    )]
    Lost,
    #[error("too many requests wait for this page: retry")]
    Busy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    #[error(transparent)]
    State(#[from] ImpossibleEvent),
    #[error("it sent a message that only makes sense at the page's home or registrar, which this node isn't")]
    NotHome,
    #[error("it answered a question that nobody asked")]
    Unasked,
    #[error("its run of pages leaves the extent or is empty or longer than a message may be")]
    BadRun,
    #[error("it sent more messages of a coming epoch than fit")]
    TooEarly,
}

impl std::hash::Hash for Violation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}
