//! Two sessions, the pipes between them, and a clock that only moves when it is told to. Plays the part of the driver.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::TICK_MS;
use crate::rpc::codec::Writer;
use crate::rpc::error::CallError;
use crate::rpc::frame::ErrorCode;
use crate::rpc::session::{CallSpec, Outgoing, Received, Session, Unsent};
use crate::verbs::SendError;
use crate::{Epoch, Nanos, NodeId};

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

pub(super) const PLAIN: CallSpec =
    CallSpec { kind: 300, fenced: false, idempotent: false, deadline: Duration::from_secs(1) };
pub(super) const IDEMPOTENT: CallSpec = CallSpec { idempotent: true, ..PLAIN };
pub(super) const FENCED: CallSpec = CallSpec { fenced: true, ..PLAIN };

/// What a session told its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Request { id: u64, epoch: Epoch, fenced: bool, payload: Vec<u8> },
    OneWay { epoch: Epoch, fenced: bool, payload: Vec<u8> },
    Done { token: u32, result: Result<Vec<u8>, CallError> },
    Unwanted { id: u64 },
    OneWayRefused { code: ErrorCode, theirs: Epoch },
}

#[derive(Debug)]
pub(super) struct Side {
    pub session: Session<u32>,
    /// Frames on their way to the other side.
    pub pipe: VecDeque<Vec<u8>>,
    pub seen: Vec<Seen>,
    /// How many frames the pipe takes before it is full.
    pub room: usize,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub now: Nanos,
    pub sides: [Side; 2],
    pub connected: bool,
}

impl Pair {
    pub(super) fn new() -> Self {
        let side = || Side {
            session: Session::new(Epoch(1)),
            pipe: VecDeque::new(),
            seen: Vec::new(),
            room: usize::MAX,
        };
        let mut pair = Self { now: Nanos(1_000_000_000), sides: [side(), side()], connected: false };
        pair.connect();
        pair
    }

    pub(super) fn connect(&mut self) {
        self.connected = true;
        for side in [A, B] {
            self.sides[side].session.up(self.now);
            self.pump(side);
        }
    }

    /// What was on its way is lost.
    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        for side in [A, B] {
            self.sides[side].pipe.clear();
            let mut out = Vec::new();
            self.sides[side].session.down(self.now, &mut out);
            self.note(side, out);
        }
    }

    pub(super) fn call(&mut self, from: usize, spec: &CallSpec, payload: &[u8], token: u32) -> u64 {
        let mut message = written(payload);
        match self.sides[from].session.call(self.now, spec, &mut message, &[], token) {
            Ok((id, Outgoing::Direct)) => {
                self.send(from, &message);
                id
            }
            Ok((id, Outgoing::Queued)) => {
                self.pump(from);
                id
            }
            Err(rejected) => {
                let (token, result) = (rejected.token, Err(rejected.error));
                self.sides[from].seen.push(Seen::Done { token, result });
                0
            }
        }
    }

    pub(super) fn one_way(&mut self, from: usize, fenced: bool, payload: &[u8]) -> Result<(), CallError> {
        let mut message = written(payload);
        match self.sides[from].session.one_way(301, fenced, &mut message, &[])? {
            Outgoing::Direct => self.send(from, &message),
            Outgoing::Queued => self.pump(from),
        }
        Ok(())
    }

    pub(super) fn reply(&mut self, from: usize, id: u64, fenced: bool, payload: &[u8]) {
        let mut message = written(payload);
        match self.sides[from].session.reply(id, 302, fenced, &mut message, &[]) {
            Ok(Outgoing::Direct) => self.send(from, &message),
            _ => self.pump(from),
        }
    }

    pub(super) fn cancel(&mut self, from: usize, id: u64) {
        if let Some(ended) = self.sides[from].session.cancel(id) {
            self.sides[from].seen.push(Seen::Done { token: ended.token, result: Err(ended.error) });
        }
        self.pump(from);
    }

    /// Lets one frame arrive. False if there is none.
    pub(super) fn deliver(&mut self, to: usize) -> bool {
        let Some(frame) = self.sides[1 - to].pipe.pop_front() else { return false };
        let received = self.sides[to].session.receive(self.now, &frame).unwrap();
        self.note(to, [received]);
        self.release(to);
        true
    }

    /// Lets everything arrive that is on its way.
    pub(super) fn run(&mut self) {
        while self.deliver(A) | self.deliver(B) {}
    }

    /// Moves the clock on, tick by tick.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(TICK_MS)).min(end);
            for side in [A, B] {
                let mut out = Vec::new();
                self.sides[side].session.tick(self.now, &mut out);
                self.note(side, out);
                self.release(side);
            }
        }
    }

    pub(super) fn make_room(&mut self, side: usize, frames: usize) {
        self.sides[side].room = frames;
        self.sides[side].session.writable();
        self.pump(side);
    }

    pub(super) fn take_seen(&mut self, side: usize) -> Vec<Seen> {
        std::mem::take(&mut self.sides[side].seen)
    }

    /// The only thing that a side has seen, a request; its id.
    pub(super) fn take_request(&mut self, side: usize) -> u64 {
        match &self.take_seen(side)[..] {
            [Seen::Request { id, .. }] => *id,
            other => panic!("one request was expected, not {other:?}"),
        }
    }

    fn release(&mut self, side: usize) {
        if self.sides[side].session.start_release() {
            while let Some(received) = self.sides[side].session.next_released(self.now) {
                self.note(side, [received.unwrap()]);
            }
        }
        self.pump(side);
    }

    fn send(&mut self, from: usize, message: &Writer) {
        if let Err(why) = self.put(from, message.frame().to_vec()) {
            match self.sides[from].session.not_sent(self.now, message, &[], why) {
                Unsent::Handled => self.pump(from),
                Unsent::Completed { token, error } => {
                    self.sides[from].seen.push(Seen::Done { token, result: Err(error) })
                }
                Unsent::Lost(error) => panic!("a one-way message was lost: {error}"),
            }
        }
    }

    fn pump(&mut self, from: usize) {
        let mut next = self.sides[from].session.start_sending();
        while let Some(frame) = next {
            let result = self.put(from, frame.bytes.clone());
            next = self.sides[from].session.sent(frame, result);
        }
    }

    fn put(&mut self, from: usize, frame: Vec<u8>) -> Result<(), SendError> {
        let side = &mut self.sides[from];
        if !self.connected {
            return Err(SendError::NotConnected(NodeId::new(1).unwrap()));
        }
        if side.room == 0 {
            return Err(SendError::Full);
        }
        side.room -= 1;
        side.pipe.push_back(frame);
        Ok(())
    }

    fn note<'a>(&mut self, side: usize, received: impl IntoIterator<Item = Received<'a, u32>>) {
        for one in received {
            let seen = match one {
                Received::Nothing => continue,
                Received::Request { id, message } => {
                    let (epoch, fenced, payload) = (message.epoch, message.fenced, message.payload.to_vec());
                    Seen::Request { id, epoch, fenced, payload }
                }
                Received::OneWay(message) => {
                    let (epoch, fenced, payload) = (message.epoch, message.fenced, message.payload.to_vec());
                    Seen::OneWay { epoch, fenced, payload }
                }
                Received::Completed { token, result } => {
                    Seen::Done { token, result: result.map(|message| message.payload.to_vec()) }
                }
                Received::Unwanted { id, .. } => Seen::Unwanted { id },
                Received::OneWayRefused { code, theirs, .. } => Seen::OneWayRefused { code, theirs },
            };
            self.sides[side].seen.push(seen);
        }
        self.pump(side);
    }
}

pub(super) fn done(token: u32, payload: &[u8]) -> Vec<Seen> {
    vec![Seen::Done { token, result: Ok(payload.to_vec()) }]
}

pub(super) fn failed(token: u32, error: CallError) -> Vec<Seen> {
    vec![Seen::Done { token, result: Err(error) }]
}

fn written(payload: &[u8]) -> Writer {
    let mut writer = Writer::new();
    writer.raw(payload);
    writer
}
