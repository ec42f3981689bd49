//! The RPC protocol with one peer as a pure state machine: no I/O, no clock, no threads. The driver and the tests drive the
//! same one.
//!
//! # Calling contract
//!
//! - One session for each peer, from the first time it is known until it is forgotten: request ids go on across
//!   lost connections, so that a request that is sent again is recognized.
//! - **Sending.** The session fills in the header of the message in a [`Writer`](super::codec::Writer). [`Outgoing::Direct`]: the caller gives frame and
//!   body to the fabric at once, without holding the session, and if that fails calls [`Session::not_sent`]. [`Outgoing::Queued`]: the session has copied what it needs.
//! - **Queue.** After any call, `while let Some(frame)` of [`Session::start_sending`] and then [`Session::sent`]: give the frame
//!   to the fabric, again without holding the session.
//! - **Receiving.** Every frame goes to [`Session::receive`], on one thread at a time. Afterwards, and on every tick, the
//!   messages that have waited for their epoch come from [`Session::start_release`] and [`Session::next_released`].
//! - **Time.** [`Session::tick`] when [`Session::alarm`] has come. Deadlines are as exact as the ticks.
//! - A [`Violation`](super::error::Violation) means: close the connection.
//!
//! # What it promises
//!
//! - A call ends exactly once: with its answer or an error, at the latest at its deadline.
//! - A request is sent again only if it is idempotent and its connection was lost, or if its peer has said that
//!   it didn't run it because it doesn't know the epoch yet. It keeps the epoch in which it was first sent.
//! - Fenced messages are acted on in their own epoch: older ones are refused, newer ones wait. Among fenced messages,
//!   and among unfenced ones, the order of the sender is kept.

use std::borrow::Cow;
use std::time::Duration;

mod calls;
mod inbox;
mod outbox;
mod receive;
mod send;
mod served;
mod timers;

pub use calls::CallSpec;
pub use outbox::QueuedFrame;

use calls::Calls;
use inbox::{Held, Reassembly};
use outbox::Outbox;
use served::Served;

use super::error::CallError;
use super::frame::ErrorCode;
use crate::limits::RPC_RETRY_MS;
use crate::{Epoch, Nanos};

/// See the head of this file. `C` is what the caller wants back when a call ends.
#[derive(Debug)]
pub struct Session<C> {
    up: bool,
    epoch: Epoch,
    calls: Calls<C>,
    served: Served,
    outbox: Outbox,
    reassembly: Reassembly,
    held: Held,
    one_ways: u64,
    alarm: Nanos,
}

/// What to do with the buffer of a message that the session has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Give it to the fabric now.
    Direct,
    /// Nothing: the session has a copy.
    Queued,
}

/// What became of a message that the fabric didn't take.
#[derive(Debug)]
pub enum Unsent<C> {
    /// It will be sent later, or is of no interest any more.
    Handled,
    /// The call that it was is over.
    Completed { token: C, error: CallError },
    /// The one-way message that it was is lost.
    Lost(CallError),
}

/// What is left of a call that never began.
#[derive(Debug)]
pub struct Rejected<C> {
    pub token: C,
    pub error: CallError,
}

/// What came out of a frame or a tick.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a, C> {
    Nothing,
    /// To be answered with [`Session::reply`] or [`Session::refuse`] under this id.
    Request {
        id: u64,
        message: Incoming<'a>,
    },
    OneWay(Incoming<'a>),
    /// A call is over.
    Completed {
        token: C,
        result: Result<Incoming<'a>, CallError>,
    },
    /// A request that was delivered earlier needs no answer any more.
    Unwanted {
        id: u64,
        kind: u16,
    },
    /// A one-way message of this node was not acted on, since its epoch wasn't the peer's.
    OneWayRefused {
        kind: u16,
        theirs: Epoch,
        code: ErrorCode,
    },
}

/// A whole message, borrowed from its frame if it came in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming<'a> {
    pub kind: u16,
    pub fenced: bool,
    /// The sender's view when it sent this.
    pub epoch: Epoch,
    pub payload: Cow<'a, [u8]>,
}

impl<C> Session<C> {
    /// For a peer that isn't connected yet.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            up: false,
            epoch,
            calls: Calls::new(),
            served: Served::default(),
            outbox: Outbox::new(),
            reassembly: Reassembly::default(),
            held: Held::default(),
            one_ways: 0,
            alarm: Nanos::MAX,
        }
    }

    pub fn is_up(&self) -> bool {
        self.up
    }

    pub fn calls_in_flight(&self) -> usize {
        self.calls.len()
    }

    pub fn requests_served(&self) -> usize {
        self.served.len()
    }
}

const RETRY: Duration = Duration::from_millis(RPC_RETRY_MS);

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
