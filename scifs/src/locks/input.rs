//! What goes into the engine and what comes out.

use thiserror::Error;

use super::ids::{Kind, LocalOwner, Range, Space, Token};
use super::message::Message;
use crate::coherence::{MemberNo, View};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Lock or unlock. Ends in exactly one `Granted` or `Refused` with the token. Tokens of a node ascend.
    Set {
        inode: u64,
        request: Request,
        token: Token,
    },
    /// Which lock would stand in the way of this one? Ends in exactly one `Tested`. `kind` is `Read` or `Write`.
    Test {
        inode: u64,
        request: Request,
        token: Token,
    },
    /// Nobody waits for that `Set` any more. It still ends: in `Refused(Interrupted)`, unless it is granted just then.
    Interrupt {
        token: Token,
    },
    /// A file was closed: everything that this owner holds of it is unlocked. Ends in `Granted`.
    ReleaseOwner {
        inode: u64,
        owner: LocalOwner,
        token: Token,
    },
    /// The file is gone or memory is short: a cached, empty table goes back to the file's registrar.
    Recall {
        inode: u64,
    },
    Message {
        from: MemberNo,
        message: Message,
    },
    /// The membership changed.
    View(View),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub space: Space,
    /// The kernel's name of the process or open file.
    pub owner: u64,
    pub pid: u32,
    pub range: Range,
    /// `None` unlocks.
    pub kind: Option<Kind>,
    /// Whether to wait for locks that stand in the way.
    pub wait: bool,
}

/// A lock that stands in the way, for `F_GETLK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    pub kind: Kind,
    pub range: Range,
    /// Of the process that holds it, on `node`.
    pub pid: u32,
    pub node: MemberNo,
}

/// What the driver does, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Send {
        to: MemberNo,
        message: Message,
    },
    Granted {
        token: Token,
    },
    Refused {
        token: Token,
        why: Refusal,
    },
    Tested {
        token: Token,
        conflict: Option<Conflict>,
    },
    /// The peer broke the protocol: log it and close its connection. Nothing was changed by its message.
    Distrust {
        peer: MemberNo,
        why: Violation,
    },
    /// A view was skipped, so what this node holds can't be trusted: leave, and join again as a new member.
    Rejoin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    #[error("somebody else holds a lock that stands in the way: try again, or wait for it")]
    WouldBlock,
    #[error(
        "waiting would never end, since those who hold the lock wait for this process: unlock and try again"
    )]
    Deadlock,
    #[error("the wait was interrupted")]
    Interrupted,
    #[error("too many requests wait for this file's locks: try again later")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Violation {
    #[error("it sent something that only makes sense at the file's registrar, which this node isn't")]
    NotRegistrar,
    #[error("it confirmed or handed over a lock table that isn't on its way")]
    NotMoving,
    #[error("it answered a question that nobody asked")]
    Unasked,
    #[error("it sent more messages of a coming epoch than fit")]
    TooEarly,
}
