//! How calls end when they don't end in an answer, and what costs a peer its connection.

use thiserror::Error;

use super::codec::{DecodeError, EncodeError};
use super::frame::FrameType;
use crate::Epoch;
use crate::limits::{RPC_CALLS_MAX, RPC_MESSAGE_BYTES_MAX};

/// Why there is no answer. [`may_have_run`](Self::may_have_run) tells whether trying again is safe for a request that is
/// not idempotent.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    #[error("no answer before the deadline{}", ran(*may_have_run))]
    TimedOut { may_have_run: bool },
    #[error("the peer is not connected, or was lost{}", ran(*may_have_run))]
    PeerLost { may_have_run: bool },
    #[error("cancelled by its caller{}", ran(*may_have_run))]
    Cancelled { may_have_run: bool },
    #[error("refused: the peer's view is {theirs}; look up who is in charge now and ask again{}", ran(*may_have_run))]
    StaleEpoch { theirs: Epoch, may_have_run: bool },
    #[error("refused unserved: {why}{}", ran(*may_have_run))]
    Refused { why: Refusal, may_have_run: bool },
    #[error("the peer failed to do it: {0}")]
    Failed(String),
    #[error("it was run, but the answer was lost: {0}")]
    AnswerLost(String),
    #[error("the answer is not what was asked for: {0}")]
    Answer(DecodeError),
    #[error("{RPC_CALLS_MAX} calls to this peer are under way; wait for some to end")]
    TooManyCalls,
    #[error("too much waits to be sent to this peer; go on when it is writable again")]
    Full,
    #[error(
        "a message of {bytes} bytes is longer than the {RPC_MESSAGE_BYTES_MAX} allowed; send it in parts"
    )]
    TooLong { bytes: usize },
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("this node is stopping")]
    Stopped { may_have_run: bool },
}

impl CallError {
    /// False when the peer has certainly not run the request.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::TimedOut { may_have_run }
            | Self::PeerLost { may_have_run }
            | Self::Cancelled { may_have_run }
            | Self::StaleEpoch { may_have_run, .. }
            | Self::Refused { may_have_run, .. }
            | Self::Stopped { may_have_run } => *may_have_run,
            Self::Failed(_) | Self::AnswerLost(_) | Self::Answer(_) => true,
            Self::TooManyCalls | Self::Full | Self::TooLong { .. } | Self::Encode(_) => false,
        }
    }
}

fn ran(may_have_run: bool) -> &'static str {
    if may_have_run { " (it may have been run)" } else { "" }
}

/// Why a peer didn't run a request.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("the peer has too much to do for this node; ask again later")]
    Busy,
    #[error("the peer knows no message of kind {kind}; is it the same version of scifs?")]
    UnknownKind { kind: u16 },
    #[error("the peer could not read it: {0}")]
    Malformed(String),
}

/// What no honest peer sends; the connection is closed for it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Violation {
    #[error("a frame's head: {0}")]
    Header(#[from] DecodeError),
    #[error("{value} is no type of frame")]
    FrameType { value: u8 },
    #[error("flags {flags:#04x} don't go with {frame_type:?}")]
    Flags { flags: u8, frame_type: FrameType },
    #[error("a deadline of {deadline_us} µs doesn't go with {frame_type:?}")]
    Deadline { deadline_us: u32, frame_type: FrameType },
    #[error("a message of {bytes} bytes, more than the {RPC_MESSAGE_BYTES_MAX} allowed")]
    MessageTooLong { bytes: usize },
    #[error("a fragment of {bytes} bytes where {left} are left of the message")]
    Fragment { bytes: usize, left: usize },
}
