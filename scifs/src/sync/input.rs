//! What goes into the engine and what comes out.

use thiserror::Error;

use super::ids::{BarrierName, Token, Word};
use super::message::Message;
use crate::coherence::{MemberNo, View};

/// Tokens of a node ascend and are never used twice. Each of the first three ends in exactly one `Ended` with its token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Wait until somebody notifies, if the word is as the program expects: the driver is asked to look.
    Wait {
        word: Word,
        token: Token,
    },
    /// Wake those who have waited longest, `count` at most.
    Notify {
        word: Word,
        count: u32,
        token: Token,
    },
    /// Wait until so many do so.
    Arrive {
        name: BarrierName,
        parties: u32,
        token: Token,
    },
    /// What an `Effect::Look` has found.
    Looked {
        token: Token,
        look: u64,
        found: Looked,
    },
    /// Nobody waits for that any more. It still ends: as `why` says, unless it is woken just then.
    Withdraw {
        token: Token,
        why: Refusal,
    },
    Message {
        from: MemberNo,
        message: Message,
    },
    /// The membership changed.
    View(View),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Looked {
    AsExpected,
    Other,
    /// The word can't be had.
    Failed,
}

/// What the driver does, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Send {
        to: MemberNo,
        message: Message,
    },
    /// Read the word now, coherently, and say what it is (`Input::Looked` with the same numbers). Not an older value than
    /// the one at this moment.
    Look {
        token: Token,
        look: u64,
    },
    Ended {
        token: Token,
        how: Ended,
    },
    /// The peer broke the protocol: log it and close its connection. Nothing was changed by its message.
    Distrust {
        peer: MemberNo,
        why: Violation,
    },
    /// A view was skipped, so what this node knows can't be trusted: leave, and join again as a new member.
    Rejoin,
}

/// How a request ended: for a wait 0, for a notification how many it woke, for a barrier 1 for one of the parties and else 0.
pub type Ended = Result<u32, Refusal>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Refusal {
    #[error("the word has another value: read it again")]
    Changed,
    #[error("nobody came in time")]
    TimedOut,
    #[error("the wait was interrupted")]
    Interrupted,
    #[error("the word cannot be read")]
    Unreadable,
    #[error("the others at this barrier wait for another number of parties, or it is zero or too large")]
    Disagree,
    #[error("too many wait for this word: try again later")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Violation {
    #[error("it sent something that only makes sense at the queue's keeper, which this node isn't")]
    NotKeeper,
    #[error("it answered a question that nobody asked")]
    Unasked,
    #[error("it opened a barrier for more parties than there may be")]
    TooMany,
    #[error("it asked for the same thing twice")]
    Twice,
    #[error("it sent more messages of a coming epoch than fit")]
    TooEarly,
}
