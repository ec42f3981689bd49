//! The state of the whole simulated network, and how frames travel through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::call::{Call, Told};
use super::config::SimConfig;
use super::conn::{Conn, ConnId, End, Frame, LANES, Lane, Side, State};
use super::node::{Life, Node};
use super::queue::{Happening, Queue};
use super::random::Random;
use super::trace::Trace;
use crate::Nanos;
use crate::limits::{OPS_IN_FLIGHT_MAX, READ_BYTES_IN_FLIGHT_MAX, SEND_QUEUE_BYTES_MAX};
use crate::verbs::Handler;

const US: u64 = 1_000;

/// An address, and who listens there.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: String,
    /// `None` for something that isn't SciFS.
    pub(super) node: Option<usize>,
}

pub(super) struct Net {
    pub(super) config: SimConfig,
    pub(super) random: Random,
    pub(super) now: Nanos,
    pub(super) queue: Queue,
    pub(super) hosts: Vec<Host>,
    pub(super) by_address: BTreeMap<String, usize>,
    pub(super) nodes: Vec<Node>,
    /// Numbers are not used again, so that what was planned for a connection finds it or nothing.
    pub(super) conns: Vec<Option<Box<Conn>>>,
    /// Ways between hosts on which nothing gets through.
    pub(super) blocked: BTreeSet<(usize, usize)>,
    pub(super) attempts: u64,
    pub(super) calls: Vec<Call>,
    pub(super) trace: Trace,
}

impl Net {
    pub(super) fn new(seed: u64, config: SimConfig) -> Self {
        Self {
            config,
            random: Random::new(seed),
            now: Nanos::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            by_address: BTreeMap::new(),
            nodes: Vec::new(),
            conns: Vec::new(),
            blocked: BTreeSet::new(),
            attempts: 0,
            calls: Vec::new(),
            trace: Trace::default(),
        }
    }

    /// Lets the next thing happen. What nodes are to be told of it is in `calls` then.
    pub(super) fn advance(&mut self) -> bool {
        let Some((at, what)) = self.queue.next() else { return false };
        self.now = self.now.max(at);
        self.trace.events += 1;
        self.trace.word(self.now.0);
        if let Some(node) = self.concerned(what).and_then(|node| self.nodes.get_mut(node))
            && node.paused
        {
            node.deferred.push(what);
            return true;
        }
        match what {
            Happening::Arrive { conn, from, lane } => self.arrive(conn, from, lane),
            Happening::Close { conn, side } => self.finish_close(conn, side),
            Happening::Room { conn, side } => self.tell_room(conn, side),
            Happening::Silence { conn, side, round } => self.silence(conn, side, round),
            Happening::Taken { conn, side, op } => self.taken(conn, side, op),
            Happening::HandshakeOver { conn } => self.handshake_over(conn),
            Happening::AttemptOver { node, attempt } => self.attempt_over(node, attempt),
            Happening::Tick { node } => self.tick(node),
        }
        true
    }

    /// The node that can't notice this while it is paused. Arriving frames wait in their lanes instead.
    fn concerned(&self, what: Happening) -> Option<usize> {
        match what {
            Happening::Close { conn, side }
            | Happening::Room { conn, side }
            | Happening::Silence { conn, side, .. }
            | Happening::Taken { conn, side, .. } => Some(self.conn(conn)?.look(side).node),
            Happening::AttemptOver { node, .. } | Happening::Tick { node } => Some(node),
            Happening::Arrive { .. } | Happening::HandshakeOver { .. } => None,
        }
    }

    pub(super) fn conn(&self, conn: ConnId) -> Option<&Conn> {
        self.conns.get(conn)?.as_deref()
    }

    pub(super) fn end(&mut self, conn: ConnId, side: Side) -> Option<&mut End> {
        Some(self.conns.get_mut(conn)?.as_mut()?.end(side))
    }

    pub(super) fn tell(&mut self, node: usize, told: Told) {
        let Some(node) = self.nodes.get(node) else { return };
        if let Some(handler) = &node.handler {
            told.record(&mut self.trace);
            let (handler, running) = (Arc::clone(handler), Arc::clone(&node.running));
            self.calls.push(Call { handler, running, told });
        }
    }

    /// How long one frame takes, with the losses on its way.
    pub(super) fn delay_ns(&mut self) -> u64 {
        let config = &self.config;
        let mut delay_us = self.random.between(config.delay_min_us, config.delay_max_us);
        let mut wait_us = config.retransmit_us;
        while wait_us < config.retransmit_us << 6 && self.random.happens(config.loss_ppm) {
            delay_us += wait_us;
            wait_us *= 2;
        }
        delay_us * US
    }

    pub(super) fn transmit(&mut self, conn: ConnId, from: Side, lane: Lane, bytes: usize, frame: Frame) {
        let delay = self.delay_ns();
        let now = self.now;
        let takes = (bytes as u64 * US).checked_div(self.config.bytes_per_us).unwrap_or(0);
        let Some(end) = self.end(conn, from) else { return };
        let way = end.way(lane);
        way.busy_until = Nanos(way.busy_until.max(now).0 + takes);
        way.last_arrival = way.last_arrival.max(Nanos(way.busy_until.0 + delay));
        let arrival = way.last_arrival;
        way.frames.push_back((arrival, bytes, frame));
        if !std::mem::replace(&mut way.planned, true) {
            self.queue.plan(arrival, Happening::Arrive { conn, from, lane });
        }
    }

    fn arrive(&mut self, conn: ConnId, from: Side, lane: Lane) {
        let through = self.gets_through(conn, from, lane);
        let now = self.now;
        let Some(end) = self.end(conn, from) else { return };
        let way = end.way(lane);
        match way.frames.front() {
            Some((at, ..)) if *at > now => {
                let at = *at;
                return self.queue.plan(at, Happening::Arrive { conn, from, lane });
            }
            Some(_) if through => {}
            _ => {
                way.planned = false;
                return;
            }
        }
        let Some((_, bytes, frame)) = way.frames.pop_front() else { return };
        let next = way.frames.front().map(|(at, ..)| (*at).max(now));
        way.planned = next.is_some();
        if let Some(at) = next {
            self.queue.plan(at, Happening::Arrive { conn, from, lane });
        }
        if lane == Lane::Requests {
            self.drained(conn, from, bytes);
        }
        self.heard(conn, from.other());
        self.dispatch(conn, from.other(), frame);
    }

    fn drained(&mut self, conn: ConnId, side: Side, bytes: usize) {
        if let Some(end) = self.end(conn, side) {
            end.queued_bytes = end.queued_bytes.saturating_sub(bytes);
        }
        self.make_room(conn, side);
    }

    /// Plans `Writable` once half of both queues is free.
    pub(super) fn make_room(&mut self, conn: ConnId, side: Side) {
        let Some(end) = self.end(conn, side) else { return };
        let half_free = end.queued_bytes <= SEND_QUEUE_BYTES_MAX / 2
            && end.ops.len() <= OPS_IN_FLIGHT_MAX / 2
            && end.read_bytes <= READ_BYTES_IN_FLIGHT_MAX / 2;
        if end.wants_room && half_free {
            end.wants_room = false;
            self.queue.plan(self.now, Happening::Room { conn, side });
        }
    }

    fn tell_room(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.conn(conn) else { return };
        let (end, peer) = (connection.look(side), connection.look(side.other()).id);
        if end.state == State::Up {
            self.tell(end.node, Told::Writable { peer });
        }
    }

    /// Whether the first frame of a lane reaches a machine that takes it.
    fn gets_through(&self, conn: ConnId, from: Side, lane: Lane) -> bool {
        let Some(connection) = self.conn(conn) else { return false };
        let (sender, receiver) = (connection.look(from), connection.look(from.other()));
        // A first frame goes to whoever listens at the address by now.
        let called = receiver.state == State::Called && lane == Lane::Requests;
        let node = if called {
            self.hosts.get(receiver.host).and_then(|host| host.node)
        } else {
            Some(receiver.node)
        };
        let takes =
            node.and_then(|node| self.nodes.get(node)).is_none_or(|n| !n.paused && n.life != Life::Vanished);
        takes && !self.blocked.contains(&(sender.host, receiver.host))
    }

    /// Goes on with lanes that were blocked, after something was healed or resumed.
    pub(super) fn unblock(&mut self) {
        for conn in 0..self.conns.len() {
            for (from, lane) in LANES {
                if self.gets_through(conn, from, lane) {
                    self.unblock_lane(conn, from, lane);
                }
            }
        }
    }

    fn unblock_lane(&mut self, conn: ConnId, from: Side, lane: Lane) {
        let Some(end) = self.end(conn, from) else { return };
        let way = end.way(lane);
        if way.planned || way.frames.is_empty() {
            return;
        }
        way.planned = true;
        let at = Nanos(self.now.0 + self.delay_ns());
        if let Some((arrival, ..)) = self.end(conn, from).and_then(|end| end.way(lane).frames.front_mut()) {
            *arrival = at;
        }
        self.queue.plan(at, Happening::Arrive { conn, from, lane });
    }

    fn tick(&mut self, node: usize) {
        let Some(this) = self.nodes.get(node) else { return };
        if this.life == Life::Running {
            let now = this.clock.at(self.now);
            self.tell(node, Told::Tick { now });
            self.queue.plan(Nanos(self.now.0 + self.config.tick_ms * 1_000 * US), Happening::Tick { node });
        }
    }

    /// Removes a connection when both sides are done with it.
    pub(super) fn remove_if_over(&mut self, conn: ConnId) {
        let over = self.conn(conn).is_some_and(|c| {
            c.look(Side::Dialer).state == State::Closed && c.look(Side::Listener).state == State::Closed
        });
        if over && let Some(slot) = self.conns.get_mut(conn) {
            *slot = None;
        }
    }

    /// All handlers, to be dropped when no lock is held.
    pub(super) fn end_all(&mut self) -> Vec<Option<Arc<dyn Handler>>> {
        self.nodes.iter_mut().map(|node| node.end(Life::Ended)).collect()
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("now", &self.now).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}
