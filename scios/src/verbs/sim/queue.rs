//! What will happen, in the order of virtual time. Things of the same time happen in the order they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::conn::{ConnId, Lane, Side};
use crate::Nanos;
use crate::verbs::OpId;

/// Things that happen. They name connections and nodes by number; one that has gone meanwhile is simply not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// The first frame of a lane gets to the other side.
    Arrive {
        conn: ConnId,
        from: Side,
        lane: Lane,
    },
    /// A side that began to close tells its node.
    Close {
        conn: ConnId,
        side: Side,
    },
    /// A queue that was full has drained.
    Room {
        conn: ConnId,
        side: Side,
    },
    /// Nothing was heard at this side for the liveness timeout, unless `round` has passed.
    Silence {
        conn: ConnId,
        side: Side,
        round: u32,
    },
    /// The memory of a placed page was read early.
    Taken {
        conn: ConnId,
        side: Side,
        op: OpId,
    },
    HandshakeOver {
        conn: ConnId,
    },
    AttemptOver {
        node: usize,
        attempt: u64,
    },
    Tick {
        node: usize,
    },
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Nanos, u64, Happening)>>,
    planned: u64,
}

impl Queue {
    pub(super) fn plan(&mut self, at: Nanos, what: Happening) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, what)));
    }

    pub(super) fn next(&mut self) -> Option<(Nanos, Happening)> {
        self.heap.pop().map(|Reverse((at, _, what))| (at, what))
    }

    pub(super) fn next_at(&self) -> Option<Nanos> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
}
