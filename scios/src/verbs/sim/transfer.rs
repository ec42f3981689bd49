//! Messages and one-sided operations: how they are begun at one node and carried out at the other.

use std::sync::atomic::Ordering;

use super::call::Told;
use super::closing::Parting;
use super::conn::{ConnId, End, FRAME_BYTES, Frame, Lane, Pending, Request, Side, Source, State, Then};
use super::net::Net;
use super::queue::Happening;
use crate::limits::{
    GATHER_SLICES_MAX, MESSAGE_BYTES_MAX, OPS_IN_FLIGHT_MAX, PLACED_BYTES_MAX, READ_BYTES_IN_FLIGHT_MAX,
    SEND_QUEUE_BYTES_MAX,
};
use crate::memory::{MemoryError, RegionSlice};
use crate::verbs::{DownReason, OpError, OpId, Operation, RemoteSlice, Rights, SendError};
use crate::{Nanos, NodeId};

const ATOMIC: Rights = Rights { read: false, write: false, atomic: true };

impl Net {
    pub(super) fn send(
        &mut self,
        node: usize,
        peer: NodeId,
        head: &[u8],
        body: &[RegionSlice],
    ) -> Result<(), SendError> {
        let (conn, side) = self.peer(node, peer)?;
        let bytes = head.len() + gathered(body)?;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLong { bytes, max: MESSAGE_BYTES_MAX });
        }
        self.reserve(conn, side, bytes, None)?;
        let mut message = Vec::with_capacity(bytes);
        message.extend_from_slice(head);
        gather(body, &mut message);
        self.transmit(conn, side, Lane::Requests, FRAME_BYTES + bytes, Frame::Message(message));
        Ok(())
    }

    pub(super) fn post(
        &mut self,
        node: usize,
        peer: NodeId,
        op: OpId,
        operation: Operation<'_>,
    ) -> Result<(), SendError> {
        let (conn, side) = self.peer(node, peer)?;
        let carried = carried_bytes(&operation)?;
        let asked = if let Operation::Read { into, .. } = &operation { into.bytes() } else { 0 };
        self.reserve(conn, side, carried, Some(asked))?;
        let (mut into, mut told) = (None, false);
        let request = match operation {
            Operation::Read { from, into: local } => {
                into = Some(local);
                Request::Read { from }
            }
            Operation::Write { from, into } => self.write(from, into, Then::Nothing),
            Operation::WriteImm { from, into, imm } => self.write(from, into, Then::Imm(imm)),
            Operation::Place { head, from, into } => {
                let request = self.write(from, into, Then::Message(head.to_vec()));
                told = matches!(request, Request::Write { from: Source::Copied(_), .. });
                request
            }
            Operation::CompareAndSwap { at, expected, new } => Request::CompareAndSwap { at, expected, new },
            Operation::FetchAdd { at, add } => Request::FetchAdd { at, add },
        };
        if told {
            let at = Nanos(self.now.0 + self.delay_ns());
            self.queue.plan(at, Happening::Taken { conn, side, op });
        }
        let Some(end) = self.end(conn, side) else { return Err(SendError::NotConnected(peer)) };
        let number = end.next_op;
        end.next_op += 1;
        end.ops.insert(number, Pending { op, into, told: false });
        self.transmit(conn, side, Lane::Requests, FRAME_BYTES + carried, Frame::Request { number, request });
        Ok(())
    }

    /// The memory is read now or when the bytes arrive, by chance: nobody can rely on one of them.
    fn write(&mut self, from: &[RegionSlice], into: RemoteSlice, then: Then) -> Request {
        let from = if self.random.coin() {
            let mut bytes = Vec::with_capacity(into.bytes);
            gather(from, &mut bytes);
            Source::Copied(bytes)
        } else {
            Source::Memory(from.to_vec())
        };
        Request::Write { from, into, then }
    }

    fn peer(&self, node: usize, peer: NodeId) -> Result<(ConnId, Side), SendError> {
        let found = self.nodes.get(node).and_then(|node| node.peers.get(&peer));
        found.copied().ok_or(SendError::NotConnected(peer))
    }

    /// Takes room for a message or, when it is an operation, for one that asks for so many bytes.
    fn reserve(
        &mut self,
        conn: ConnId,
        side: Side,
        bytes: usize,
        asked: Option<usize>,
    ) -> Result<(), SendError> {
        let Some(end) = self.end(conn, side) else { return Err(SendError::Full) };
        let queued = end.queued_bytes + FRAME_BYTES + bytes;
        let reads = end.read_bytes + asked.unwrap_or(0);
        let ops_full =
            asked.is_some() && (end.ops.len() >= OPS_IN_FLIGHT_MAX || reads > READ_BYTES_IN_FLIGHT_MAX);
        if queued > SEND_QUEUE_BYTES_MAX || ops_full {
            end.wants_room = true;
            return Err(SendError::Full);
        }
        end.queued_bytes = queued;
        end.read_bytes = reads;
        Ok(())
    }

    pub(super) fn dispatch(&mut self, conn: ConnId, side: Side, frame: Frame) {
        match frame {
            Frame::Hello => return self.hello(conn),
            Frame::Accept => return self.accepted(conn),
            Frame::Confirm => return self.confirmed(conn),
            Frame::Reject(why) => return self.rejected(conn, why),
            Frame::Close(reason) => return self.closed_by_peer(conn, side, reason),
            _ => {}
        }
        let Some(connection) = self.conn(conn) else { return };
        let (end, peer) = (connection.look(side), connection.look(side.other()).id);
        if end.state != State::Up {
            return;
        }
        let node = end.node;
        match frame {
            Frame::Message(bytes) => self.tell(node, Told::Message { peer, bytes }),
            Frame::Request { number, request } => self.carry_out(conn, side, number, &request),
            Frame::Answer { number, value, bytes } => self.answered(conn, side, number, value, &bytes),
            Frame::Denied { number } => self.denied(conn, side, number),
            _ => {}
        }
    }

    fn carry_out(&mut self, conn: ConnId, side: Side, number: u64, request: &Request) {
        let Some(connection) = self.conn(conn) else { return };
        let (node, peer) = (connection.look(side).node, connection.look(side.other()).id);
        let Some((value, bytes)) = self.apply(node, peer, request) else {
            let reason = DownReason::Protocol("the peer reached for memory that was not granted".into());
            return self.close_now(conn, side, reason, Parting::Denied { number });
        };
        let cost = FRAME_BYTES + bytes.len();
        self.transmit(conn, side, Lane::Answers, cost, Frame::Answer { number, value, bytes });
        match request {
            Request::Write { into, then: Then::Imm(imm), .. } => {
                self.tell(node, Told::Written { peer, imm: *imm, bytes: into.bytes });
            }
            Request::Write { then: Then::Message(head), .. } => {
                self.tell(node, Told::Message { peer, bytes: head.clone() });
            }
            _ => {}
        }
    }

    /// `None` if it is denied, and nothing was done then.
    fn apply(&self, node: usize, peer: NodeId, request: &Request) -> Option<(u64, Vec<u8>)> {
        let node = self.nodes.get(node)?;
        let now = node.clock.at(self.now);
        let reach = |at, rights| node.grants.reach(peer, at, rights, now);
        match request {
            Request::Read { from } => Some((0, reach(from, Rights::READ)?.to_vec())),
            Request::Write { from, into, .. } => {
                place(from, &reach(into, Rights::WRITE)?).ok()?;
                Some((0, Vec::new()))
            }
            Request::CompareAndSwap { at, expected, new } => {
                let slice = reach(at, ATOMIC)?;
                let word = slice.atomic().ok()?;
                let before = word.compare_exchange(*expected, *new, Ordering::SeqCst, Ordering::SeqCst);
                Some((before.unwrap_or_else(|found| found), Vec::new()))
            }
            Request::FetchAdd { at, add } => {
                let slice = reach(at, ATOMIC)?;
                Some((slice.atomic().ok()?.fetch_add(*add, Ordering::SeqCst), Vec::new()))
            }
        }
    }

    fn answered(&mut self, conn: ConnId, side: Side, number: u64, value: u64, bytes: &[u8]) {
        let Some(pending) = self.end(conn, side).and_then(|end| end.ops.remove(&number)) else { return };
        if let Some(into) = &pending.into
            && into.write_from(bytes).is_err()
        {
            tracing::error!(bytes = bytes.len(), "an answer is longer than what was asked for");
        }
        if let Some(end) = self.end(conn, side) {
            end.read_bytes = end.read_bytes.saturating_sub(bytes.len());
        }
        self.make_room(conn, side);
        if !pending.told {
            self.tell_done(conn, side, pending.op, Ok(value));
        }
    }

    fn denied(&mut self, conn: ConnId, side: Side, number: u64) {
        let Some(pending) = self.end(conn, side).and_then(|end| end.ops.remove(&number)) else { return };
        if !pending.told {
            self.tell_done(conn, side, pending.op, Err(OpError::Denied));
        }
        self.close_now(conn, side, DownReason::Denied, Parting::Reset(DownReason::Closed));
    }

    /// `Done` of a placed page whose memory was read early.
    pub(super) fn taken(&mut self, conn: ConnId, side: Side, op: OpId) {
        let Some(end) = self.end(conn, side) else { return };
        let waits = |pending: &&mut Pending| pending.op == op && !pending.told;
        if end.state == State::Up
            && let Some(pending) = end.ops.values_mut().find(waits)
        {
            pending.told = true;
            self.tell_done(conn, side, op, Ok(0));
        }
    }

    fn tell_done(&mut self, conn: ConnId, side: Side, op: OpId, result: Result<u64, OpError>) {
        let Some(connection) = self.conn(conn) else { return };
        let (node, peer) = (connection.look(side).node, connection.look(side.other()).id);
        self.tell(node, Told::Done { peer, op, result });
    }
}

impl End {
    /// How much this side keeps for its peer, to show that it is bounded.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.queued_bytes, self.ops.len())
    }
}

fn gathered(slices: &[RegionSlice]) -> Result<usize, SendError> {
    if slices.len() > GATHER_SLICES_MAX {
        return Err(SendError::Shape);
    }
    Ok(slices.iter().map(RegionSlice::bytes).sum())
}

fn gather(slices: &[RegionSlice], into: &mut Vec<u8>) {
    for slice in slices {
        let start = into.len();
        into.resize(start + slice.bytes(), 0);
        // The lengths are equal, so this cannot fail.
        let _ = slice.read_to(into.get_mut(start..).unwrap_or_default());
    }
}

fn place(from: &Source, into: &RegionSlice) -> Result<(), MemoryError> {
    match from {
        Source::Copied(bytes) => into.write_from(bytes),
        Source::Memory(slices) => {
            let mut offset = 0;
            for slice in slices {
                into.part(offset, slice.bytes())?.copy_from(slice)?;
                offset += slice.bytes();
            }
            Ok(())
        }
    }
}

/// Checks an operation's shape; returns the bytes that travel with its request.
fn carried_bytes(operation: &Operation<'_>) -> Result<usize, SendError> {
    let (local, remote, head) = match operation {
        Operation::Read { from, into } => (into.bytes(), from, 0),
        Operation::Write { from, into } | Operation::WriteImm { from, into, .. } => {
            (gathered(from)?, into, 0)
        }
        Operation::Place { head, from, into } => (gathered(from)?, into, head.len()),
        Operation::CompareAndSwap { at, .. } | Operation::FetchAdd { at, .. } => (8, at, 0),
    };
    let too_long = |bytes, max| Err(SendError::TooLong { bytes, max });
    if local > PLACED_BYTES_MAX {
        return too_long(local, PLACED_BYTES_MAX);
    }
    if head > MESSAGE_BYTES_MAX {
        return too_long(head, MESSAGE_BYTES_MAX);
    }
    let atomic = matches!(operation, Operation::CompareAndSwap { .. } | Operation::FetchAdd { .. });
    let aligned = remote.key.base.wrapping_add(remote.offset).is_multiple_of(8);
    if local != remote.bytes || (atomic && !aligned) {
        return Err(SendError::Shape);
    }
    let travels = !atomic && !matches!(operation, Operation::Read { .. });
    Ok(head + if travels { local } else { 0 })
}
