//! A connection: two sides, each with its own idea of how far it is, and two lanes of frames from each.
//!
//! ```text
//!  dialer:    Dialing ──Accept──► Up ──► Closing ──► Closed
//!  listener:  Called ──Hello──► Accepted ──Confirm──► Up ──► Closing ──► Closed
//! ```
//!
//! `Closing` is the time from the call that ends a connection to the `Down` that says so. Everything else ends at
//! `Closed` directly. The sides close at different times, as in life: one may be up long after the other is gone.

use std::collections::{BTreeMap, VecDeque};

use crate::memory::RegionSlice;
use crate::verbs::{ConnectError, DownReason, OpId, RemoteSlice};
use crate::{Nanos, NodeId};

pub(super) type ConnId = usize;

/// What a frame costs in the queue beside its bytes, so that empty messages are bounded too.
pub(super) const FRAME_BYTES: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialer,
    Listener,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Listener,
            Self::Listener => Self::Dialer,
        }
    }
}

/// Answers to one-sided operations travel by themselves, as a network card's do: they and the messages of the same
/// peer overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Requests,
    Answers,
}

pub(super) const LANES: [(Side, Lane); 4] = [
    (Side::Dialer, Lane::Requests),
    (Side::Dialer, Lane::Answers),
    (Side::Listener, Lane::Requests),
    (Side::Listener, Lane::Answers),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Dialing,
    Called,
    Accepted,
    Up,
    Closing,
    Closed,
}

#[derive(Debug)]
pub(super) enum Frame {
    Hello,
    Accept,
    Confirm,
    /// `None` says that there is another connection of the two already, or one in the making.
    Reject(Option<ConnectError>),
    Message(Vec<u8>),
    Request {
        number: u64,
        request: Request,
    },
    Answer {
        number: u64,
        value: u64,
        bytes: Vec<u8>,
    },
    /// The operation reached beyond what is granted; the connection is closed.
    Denied {
        number: u64,
    },
    Close(DownReason),
}

/// A one-sided operation on its way.
#[derive(Debug)]
pub(super) enum Request {
    Read { from: RemoteSlice },
    Write { from: Source, into: RemoteSlice, then: Then },
    CompareAndSwap { at: RemoteSlice, expected: u64, new: u64 },
    FetchAdd { at: RemoteSlice, add: u64 },
}

/// Bytes to be written: read from memory at the last moment, or long before. Both are allowed until `Done`.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Vec<RegionSlice>),
    Copied(Vec<u8>),
}

/// What the peer is told after a write.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    Imm(u32),
    Message(Vec<u8>),
}

/// Frames on their way, in order. One `Happening::Arrive` is planned for the first, unless the way is blocked.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) frames: VecDeque<(Nanos, usize, Frame)>,
    pub(super) planned: bool,
    pub(super) last_arrival: Nanos,
    pub(super) busy_until: Nanos,
}

/// An operation that has not ended.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) op: OpId,
    pub(super) into: Option<RegionSlice>,
    /// `Done` was told already, when the memory was read early.
    pub(super) told: bool,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) host: usize,
    pub(super) id: NodeId,
    pub(super) state: State,
    pub(super) reason: Option<DownReason>,
    requests: Way,
    answers: Way,
    pub(super) queued_bytes: usize,
    /// What reads under way have asked for.
    pub(super) read_bytes: usize,
    pub(super) wants_room: bool,
    pub(super) ops: BTreeMap<u64, Pending>,
    pub(super) next_op: u64,
    /// Raised each time something is heard; a planned `Silence` of an older round is void.
    pub(super) round: u32,
    pub(super) unheard: bool,
}

impl End {
    pub(super) fn new(node: usize, host: usize, id: NodeId, state: State) -> Self {
        Self {
            node,
            host,
            id,
            state,
            reason: None,
            requests: Way::default(),
            answers: Way::default(),
            queued_bytes: 0,
            read_bytes: 0,
            wants_room: false,
            ops: BTreeMap::new(),
            next_op: 0,
            round: 0,
            unheard: false,
        }
    }

    pub(super) fn way(&mut self, lane: Lane) -> &mut Way {
        match lane {
            Lane::Requests => &mut self.requests,
            Lane::Answers => &mut self.answers,
        }
    }

    /// Frames whose bytes are still to be read from memory can't be sent once that memory isn't ours any more, and
    /// nothing may overtake them.
    pub(super) fn cut_lazy_frames(&mut self) {
        let lazy = |frame: &Frame| {
            matches!(frame, Frame::Request { request: Request::Write { from: Source::Memory(_), .. }, .. })
        };
        if let Some(at) = self.requests.frames.iter().position(|(_, _, frame)| lazy(frame)) {
            self.requests.frames.truncate(at);
        }
    }
}

#[derive(Debug)]
pub(super) struct Conn {
    /// What the dialer called.
    pub(super) address: String,
    dialer: End,
    listener: End,
}

impl Conn {
    pub(super) fn new(address: String, dialer: End, listener: End) -> Self {
        Self { address, dialer, listener }
    }

    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialer => &mut self.dialer,
            Side::Listener => &mut self.listener,
        }
    }

    pub(super) fn look(&self, side: Side) -> &End {
        match side {
            Side::Dialer => &self.dialer,
            Side::Listener => &self.listener,
        }
    }

    /// The side that `node` is on.
    pub(super) fn side_of(&self, node: usize) -> Option<Side> {
        match node {
            n if n == self.dialer.node => Some(Side::Dialer),
            n if n == self.listener.node => Some(Side::Listener),
            _ => None,
        }
    }
}
