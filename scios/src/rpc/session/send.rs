//! The sending half of a session: calls, answers, one-way messages, and the queue of what can't leave at once.

use std::time::Duration;

use super::calls::{Call, CallSpec, CallState};
use super::outbox::{QueuedFrame, gather_into};
use super::{Outgoing, RETRY, Rejected, Session, Unsent};
use crate::Nanos;
use crate::limits::{GATHER_SLICES_MAX, RPC_DEADLINE_MAX_MS, RPC_MESSAGE_BYTES_MAX};
use crate::memory::RegionSlice;
use crate::rpc::codec::Writer;
use crate::rpc::error::CallError;
use crate::rpc::frame::{ErrorCode, FRAME_PAYLOAD_BYTES_MAX, Flags, FrameType, Header};
use crate::verbs::SendError;

impl<C> Session<C> {
    /// Begins a call: its id, and what to do with the message. While the peer is down, an idempotent call waits for it
    /// and any other is rejected.
    pub fn call(
        &mut self,
        now: Nanos,
        spec: &CallSpec,
        message: &mut Writer,
        body: &[RegionSlice],
        token: C,
    ) -> Result<(u64, Outgoing), Rejected<C>> {
        let way = match self.way_out(message, body) {
            Ok(_) if !self.up && !spec.idempotent => Err(CallError::PeerLost { may_have_run: false }),
            Ok(_) if !self.up => Ok(None),
            way => way.map(Some),
        };
        let way = match way {
            Ok(way) => way,
            Err(error) => return Err(Rejected { token, error }),
        };
        let wait = spec.deadline.clamp(Duration::from_micros(1), Duration::from_millis(RPC_DEADLINE_MAX_MS));
        let call = Call {
            token,
            spec: *spec,
            deadline: now + wait,
            state: way.map_or(CallState::Waiting { retry_at: now + RETRY }, |_| CallState::Sent),
            reached: way == Some(Outgoing::Direct),
            ran_before: false,
            kept: Vec::new(),
        };
        self.alarm = self.alarm.min(call.alarm());
        let id = match self.calls.insert(call) {
            Ok(id) => id,
            Err(token) => return Err(Rejected { token, error: CallError::TooManyCalls }),
        };
        let header = Header {
            frame_type: FrameType::Request,
            flags: Flags::fenced(spec.fenced),
            kind: spec.kind,
            deadline_us: wait.as_micros() as u32,
            id,
            epoch: self.epoch,
        };
        message.set_header(header);
        if (spec.idempotent || spec.fenced)
            && let Some(call) = self.calls.get_mut(id)
        {
            gather_into(&mut call.kept, message.frame(), body);
        }
        if way == Some(Outgoing::Queued) {
            self.outbox.push(header, message.payload(), body, Some(id));
        }
        Ok((id, way.unwrap_or(Outgoing::Queued)))
    }

    /// Gives up a call and tells the peer. Nothing if it is over already.
    pub fn cancel(&mut self, id: u64) -> Option<Rejected<C>> {
        let call = self.calls.remove(id)?;
        let error = CallError::Cancelled { may_have_run: call.may_have_run() };
        self.tell_unwanted(id, &call);
        Some(Rejected { token: call.token, error })
    }

    /// Sends a message that isn't answered.
    pub fn one_way(
        &mut self,
        kind: u16,
        fenced: bool,
        message: &mut Writer,
        body: &[RegionSlice],
    ) -> Result<Outgoing, CallError> {
        if !self.up {
            return Err(CallError::PeerLost { may_have_run: false });
        }
        let way = self.way_out(message, body)?;
        self.one_ways += 1;
        let (frame_type, flags) = (FrameType::OneWay, Flags::fenced(fenced));
        self.depart(
            way,
            Header { frame_type, flags, kind, deadline_us: 0, id: self.one_ways, epoch: self.epoch },
            message,
            body,
        );
        Ok(way)
    }

    /// Answers a request. Nothing needs to be done with the message if nobody waits for it any more. An answer that can't be
    /// sent becomes an error at the caller, and is reported here too.
    pub fn reply(
        &mut self,
        id: u64,
        kind: u16,
        fenced: bool,
        message: &mut Writer,
        body: &[RegionSlice],
    ) -> Result<Outgoing, CallError> {
        let Some(request) = self.served.remove(id) else { return Ok(Outgoing::Queued) };
        if !self.up {
            return Ok(Outgoing::Queued);
        }
        let way = match self.way_out(message, body) {
            Ok(way) => way,
            Err(error) => {
                self.tell_error(
                    FrameType::Request,
                    id,
                    request.kind,
                    ErrorCode::AnswerLost,
                    &error.to_string(),
                );
                return Err(error);
            }
        };
        let (frame_type, flags) = (FrameType::Reply, Flags::fenced(fenced));
        self.depart(
            way,
            Header { frame_type, flags, kind, deadline_us: 0, id, epoch: self.epoch },
            message,
            body,
        );
        Ok(way)
    }

    /// Answers a request with an error.
    pub fn refuse(&mut self, id: u64, code: ErrorCode, text: &str) {
        if let Some(request) = self.served.remove(id) {
            self.tell_error(FrameType::Request, id, request.kind, code, text);
        }
    }

    /// Whether somebody still waits for the answer to a request.
    pub fn is_wanted(&self, id: u64) -> bool {
        self.served.is_wanted(id)
    }

    /// A message that left as `Direct` was not taken by the fabric.
    pub fn not_sent(
        &mut self,
        now: Nanos,
        message: &Writer,
        body: &[RegionSlice],
        why: SendError,
    ) -> Unsent<C> {
        let Ok((header, payload)) = Header::split(message.frame()) else { return Unsent::Handled };
        let call = if header.frame_type == FrameType::Request { Some(header.id) } else { None };
        if let Some(call) = call.and_then(|id| self.calls.get_mut(id)) {
            call.reached = false;
        }
        let error = match why {
            SendError::Full if self.up && self.outbox.has_room(frame_bytes(payload, body)) => {
                self.outbox.push(header, payload, body, call);
                return Unsent::Handled;
            }
            SendError::Full => CallError::Full,
            SendError::NotConnected(_) => CallError::PeerLost { may_have_run: false },
            SendError::TooLong { bytes, .. } => CallError::TooLong { bytes },
            SendError::Shape => CallError::TooLong { bytes: frame_bytes(payload, body) },
        };
        match header.frame_type {
            FrameType::Request => self.request_not_sent(now, header.id, error),
            FrameType::OneWay => Unsent::Lost(error),
            _ => {
                let code = ErrorCode::AnswerLost;
                self.tell_error(FrameType::Request, header.id, header.kind, code, &error.to_string());
                Unsent::Handled
            }
        }
    }

    fn request_not_sent(&mut self, now: Nanos, id: u64, error: CallError) -> Unsent<C> {
        let Some(call) = self.calls.get_mut(id) else { return Unsent::Handled };
        if call.spec.idempotent && matches!(error, CallError::PeerLost { .. }) {
            call.state = CallState::Waiting { retry_at: now + RETRY };
            self.alarm = self.alarm.min(call.alarm());
            return Unsent::Handled;
        }
        match self.calls.remove(id) {
            Some(call) => Unsent::Completed { token: call.token, error },
            None => Unsent::Handled,
        }
    }

    /// Becomes the one that sends what is queued. Nothing when there is nothing, no room, or somebody does so already.
    pub fn start_sending(&mut self) -> Option<QueuedFrame> {
        self.outbox.start()
    }

    /// Whether `start_sending` would give something.
    pub fn has_frames(&self) -> bool {
        self.outbox.has_work()
    }

    /// What became of a queued frame; gives the next one.
    pub fn sent(&mut self, frame: QueuedFrame, result: Result<(), SendError>) -> Option<QueuedFrame> {
        if result == Err(SendError::Full) {
            return self.outbox.refused(frame);
        }
        if result.is_ok()
            && let Some(call) = frame.completes.and_then(|id| self.calls.get_mut(id))
        {
            call.reached = true;
        }
        self.outbox.next(&frame)
    }

    /// The fabric has room again.
    pub fn writable(&mut self) {
        self.outbox.writable();
    }

    /// How a message can leave now.
    fn way_out(&self, message: &Writer, body: &[RegionSlice]) -> Result<Outgoing, CallError> {
        let bytes = frame_bytes(message.finish()?, body);
        if bytes > RPC_MESSAGE_BYTES_MAX {
            return Err(CallError::TooLong { bytes });
        }
        if self.outbox.is_idle() && bytes <= FRAME_PAYLOAD_BYTES_MAX && body.len() <= GATHER_SLICES_MAX {
            return Ok(Outgoing::Direct);
        }
        if self.outbox.has_room(bytes) { Ok(Outgoing::Queued) } else { Err(CallError::Full) }
    }

    fn depart(&mut self, way: Outgoing, header: Header, message: &mut Writer, body: &[RegionSlice]) {
        message.set_header(header);
        if way == Outgoing::Queued {
            self.outbox.push(header, message.payload(), body, None);
        }
    }

    /// Tells the peer that its request or one-way message came to nothing.
    pub(super) fn tell_error(&mut self, about: FrameType, id: u64, kind: u16, code: ErrorCode, text: &str) {
        if !self.up {
            return;
        }
        let flags = Flags(if about == FrameType::OneWay { Flags::ABOUT_ONE_WAY } else { 0 });
        let header =
            Header { frame_type: FrameType::Error, flags, kind, deadline_us: 0, id, epoch: self.epoch };
        self.outbox.push_control(header, &code.to_payload(text));
    }

    /// Tells the peer that a call is given up, if the peer may know of it.
    pub(super) fn tell_unwanted(&mut self, id: u64, call: &Call<C>) {
        if !self.up || call.state != CallState::Sent {
            return;
        }
        let (frame_type, flags) = (FrameType::Cancel, Flags(0));
        let header =
            Header { frame_type, flags, kind: call.spec.kind, deadline_us: 0, id, epoch: self.epoch };
        self.outbox.push_control(header, &[]);
    }
}

fn frame_bytes(payload: &[u8], body: &[RegionSlice]) -> usize {
    body.iter().fold(payload.len(), |bytes, slice| bytes.saturating_add(slice.bytes()))
}
