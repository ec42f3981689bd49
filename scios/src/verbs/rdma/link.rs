//! One connection's state. Everything that is posted to its queue pair is posted under the lock of its [`Link`].
//!
//! ```text
//!   Connecting ──(both ends ready)──▶ Up ──┐
//!        └────────────(failure)────────────┴──▶ Ending ──(given back what was under way,
//!                                                         and the TCP connection is gone)──▶ removed
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::credit::Credit;
use super::ffi::{QueuePair, Registration};
use super::grants::Grant;
use super::job::Job;
use super::slots::{Held, Slot};
use crate::limits::{OPS_IN_FLIGHT_MAX, RDMA_QUEUE_WORKS, SEND_QUEUE_BYTES_MAX};
use crate::verbs::{DownReason, OpError, OpId};
use crate::{Nanos, NodeId};

/// Marks the ids of work requests; a receive buffer's id is its small index.
const WORK_BIT: u64 = 1 << 63;
const SEQUENCE_BITS: u32 = 40;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
pub(super) const LINK_NUMBER_MASK: u32 = (1 << (63 - SEQUENCE_BITS)) - 1;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) address: String,
    /// Of the connection, unique among the live ones.
    pub(super) number: u32,
    pub(super) queue_pair: u32,
    /// The last work request that is known to have ended, in good order or not.
    completed: AtomicU64,
    /// A work request has failed, so the queue pair has.
    failed: AtomicBool,
    pub(super) link: Mutex<Link>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Gone when the connection has ended.
    pub(super) queue_pair: Option<QueuePair>,
    /// `disconnect` was called: nothing is taken over or delivered any more.
    pub(super) closing: bool,
    /// The first packet number this end uses.
    pub(super) packet: u32,
    /// The last work request that was posted.
    pub(super) posted: u64,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) pending: VecDeque<Job>,
    /// The cost of messages that were taken over and have not arrived.
    pub(super) queued_bytes: usize,
    pub(super) operations: usize,
    /// `Full` was said, so `Writable` is owed.
    pub(super) full: bool,
    /// Work requests since the last one that asked for a completion.
    pub(super) unsignaled: u32,
    pub(super) held: Held,
    pub(super) credit: Credit,
    pub(super) grants: HashMap<u32, Grant>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// `ready`: this end can receive and send; the peer hasn't said so.
    Connecting {
        ready: bool,
        deadline: Nanos,
    },
    Up,
    Ending(Ending),
}

#[derive(Debug)]
pub(super) struct Ending {
    /// `Up` was delivered, so `Down` is owed.
    pub(super) was_up: bool,
    pub(super) reason: DownReason,
    /// The peer may know the reason better: it has until `deadline` to tell.
    pub(super) guessed: bool,
    /// The TCP connection has been closed by this end; has ended.
    pub(super) control_closed: bool,
    pub(super) control_down: bool,
    pub(super) deadline: Nanos,
}

/// Posted, and not known to have ended: one or two work requests.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) what: Flying,
}

#[derive(Debug)]
pub(super) enum Flying {
    Message {
        cost: usize,
        slot: Option<Slot>,
    },
    Operation {
        id: OpId,
        atomic: bool,
        bytes: usize,
        slot: Option<Slot>,
        registrations: Vec<Arc<Registration>>,
    },
    /// A grant being put in place, or the last work of a connection.
    Other,
}

/// How operations ended.
pub(super) type Done = Vec<(OpId, Result<u64, OpError>)>;

impl Peer {
    pub(super) fn new(
        id: NodeId,
        address: &str,
        number: u32,
        queue_pair: QueuePair,
        packet: u32,
        window: u8,
        deadline: Nanos,
    ) -> Self {
        Self {
            id,
            address: address.into(),
            number,
            queue_pair: queue_pair.number(),
            completed: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            link: Mutex::new(Link {
                phase: Phase::Connecting { ready: false, deadline },
                queue_pair: Some(queue_pair),
                closing: false,
                packet,
                posted: 0,
                in_flight: VecDeque::new(),
                pending: VecDeque::new(),
                queued_bytes: 0,
                operations: 0,
                full: false,
                unsignaled: 0,
                held: Held::default(),
                credit: Credit::new(window),
                grants: HashMap::new(),
            }),
        }
    }

    pub(super) fn work_id(&self, sequence: u64) -> u64 {
        WORK_BIT | u64::from(self.number) << SEQUENCE_BITS | sequence & SEQUENCE_MASK
    }

    pub(super) fn completed(&self) -> u64 {
        self.completed.load(Ordering::Acquire)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn note_failure(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Returns how many more work requests are known to have ended.
    pub(super) fn note_completed(&self, sequence: u64) -> u64 {
        sequence.saturating_sub(self.completed.fetch_max(sequence, Ordering::AcqRel))
    }
}

/// What the id of a work request says: the connection's number and the request's place; `None` for a receive buffer.
pub(super) fn parse_work_id(id: u64) -> Option<(u32, u64)> {
    let number = (id & !WORK_BIT) >> SEQUENCE_BITS;
    (id & WORK_BIT != 0).then_some((number as u32, id & SEQUENCE_MASK))
}

impl Link {
    /// Work requests that the queue pair still takes.
    pub(super) fn works_free(&self, completed: u64) -> u64 {
        u64::from(RDMA_QUEUE_WORKS).saturating_sub(self.posted.saturating_sub(completed))
    }

    /// Whether it takes over work.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up) && !self.closing
    }

    /// Takes note that the work request `sequence` has ended, and all before it in good order.
    pub(super) fn retire(&mut self, sequence: u64, result: Result<(), OpError>, done: &mut Done) {
        while self.in_flight.front().is_some_and(|front| front.last < sequence) {
            self.retire_first(Ok(()), done);
        }
        // A failed pair of requests completes twice; the first time counts.
        let first = self.in_flight.front();
        let ended = match result {
            Ok(()) => first.is_some_and(|front| front.last == sequence),
            Err(_) => first.is_some_and(|front| front.first <= sequence),
        };
        if ended {
            self.retire_first(result, done);
        }
    }

    fn retire_first(&mut self, result: Result<(), OpError>, done: &mut Done) {
        match self.in_flight.pop_front().map(|first| first.what) {
            Some(Flying::Message { cost, slot }) => {
                self.queued_bytes = self.queued_bytes.saturating_sub(cost);
                slot.into_iter().for_each(|slot| slot.release(&mut self.held));
            }
            Some(Flying::Operation { id, atomic, bytes, slot, registrations }) => {
                self.operations = self.operations.saturating_sub(1);
                self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
                let value = if atomic { slot.as_ref().map_or(0, Slot::word) } else { 0 };
                slot.into_iter().for_each(|slot| slot.release(&mut self.held));
                drop(registrations);
                done.push((id, result.map(|()| value)));
            }
            Some(Flying::Other) | None => {}
        }
    }

    /// Gives up whatever is left, posted or not.
    pub(super) fn abandon(&mut self, done: &mut Done) {
        while !self.in_flight.is_empty() {
            self.retire_first(Err(OpError::PeerLost), done);
        }
        for job in self.pending.drain(..) {
            if let Job::Operation(operation) = job {
                done.push((operation.id, Err(OpError::PeerLost)));
            }
        }
    }

    /// Whether `Writable` is to be said now.
    pub(super) fn take_writable(&mut self) -> bool {
        let drained =
            self.queued_bytes <= SEND_QUEUE_BYTES_MAX / 2 && self.operations <= OPS_IN_FLIGHT_MAX / 2;
        let writable = self.full && drained && self.is_up();
        self.full &= !writable;
        writable
    }
}
