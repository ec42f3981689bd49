//! The receiving half of a session: what a frame of the peer leads to.

use std::borrow::Cow;

use super::calls::{Call, CallState};
use super::served::{Admission, ServedRequest};
use super::{Incoming, RETRY, Received, Session};
use crate::Nanos;
use crate::rpc::error::{CallError, Refusal, Violation};
use crate::rpc::frame::{ErrorCode, FrameType, Header};

impl<C> Session<C> {
    /// Takes one frame of the peer. What the peer could have meant wrongly ends in an answer to it, what no peer
    /// would send in a [`Violation`].
    pub fn receive<'a>(&mut self, now: Nanos, frame: &'a [u8]) -> Result<Received<'a, C>, Violation> {
        let (header, payload) = Header::split(frame)?;
        if !self.up {
            return Ok(Received::Nothing);
        }
        let Some(payload) = self.reassembly.add(&header, payload)? else { return Ok(Received::Nothing) };
        if self.held.must_wait(&header, self.epoch) {
            return Ok(self.hold(now, header, &payload));
        }
        self.accept(now, &header, payload)
    }

    /// Becomes the one that delivers the messages whose epoch has come. False when there are none, or somebody does
    /// so already.
    pub fn start_release(&mut self) -> bool {
        if self.held.releasing || !self.held.is_ready(self.epoch) {
            return false;
        }
        self.held.releasing = true;
        true
    }

    /// The next of them; nothing when that was all.
    pub fn next_released(&mut self, now: Nanos) -> Option<Result<Received<'static, C>, Violation>> {
        let message = self.held.pop_ready(self.epoch);
        self.held.releasing = message.is_some();
        let message = message?;
        Some(self.accept(now, &message.header, Cow::Owned(message.payload)))
    }

    fn hold(&mut self, now: Nanos, header: Header, payload: &[u8]) -> Received<'static, C> {
        match self.held.push(now, header, payload) {
            Some(until) => {
                self.alarm = self.alarm.min(until);
                Received::Nothing
            }
            None => self.not_held(&header),
        }
    }

    /// A message whose epoch didn't come in time, or for which there is no room until then.
    pub(super) fn not_held(&mut self, header: &Header) -> Received<'static, C> {
        if header.frame_type != FrameType::Reply {
            let code = if header.fenced() { ErrorCode::NotYet } else { ErrorCode::Busy };
            self.tell_error(header.frame_type, header.id, header.kind, code, "");
            return Received::Nothing;
        }
        let text = format!("the answer is of {}, this node is at {}", header.epoch, self.epoch);
        self.complete(header.id, |_| Err(CallError::AnswerLost(text)))
    }

    fn accept<'a>(
        &mut self,
        now: Nanos,
        header: &Header,
        payload: Cow<'a, [u8]>,
    ) -> Result<Received<'a, C>, Violation> {
        let stale = header.fenced() && header.epoch < self.epoch;
        let message =
            |payload| Incoming { kind: header.kind, fenced: header.fenced(), epoch: header.epoch, payload };
        Ok(match header.frame_type {
            FrameType::Request | FrameType::OneWay if stale => {
                self.tell_error(header.frame_type, header.id, header.kind, ErrorCode::StaleEpoch, "");
                Received::Nothing
            }
            FrameType::Request => self.admit(now, header, message(payload)),
            FrameType::OneWay => Received::OneWay(message(payload)),
            FrameType::Reply if stale => {
                let error = CallError::StaleEpoch { theirs: header.epoch, may_have_run: true };
                self.complete(header.id, |_| Err(error))
            }
            FrameType::Reply => self.complete(header.id, |_| Ok(message(payload))),
            FrameType::Error => self.error(now, header, &payload)?,
            FrameType::Cancel => self.unwanted(header.id),
        })
    }

    fn admit<'a>(&mut self, now: Nanos, header: &Header, message: Incoming<'a>) -> Received<'a, C> {
        let wait = std::time::Duration::from_micros(u64::from(header.deadline_us));
        let request = ServedRequest { kind: header.kind, deadline: now + wait };
        match self.served.admit(header.id, request) {
            Admission::New => {
                self.alarm = self.alarm.min(request.deadline);
                Received::Request { id: header.id, message }
            }
            Admission::Duplicate => Received::Nothing,
            Admission::Full => {
                self.tell_error(FrameType::Request, header.id, header.kind, ErrorCode::Busy, "");
                Received::Nothing
            }
        }
    }

    fn unwanted(&mut self, id: u64) -> Received<'static, C> {
        if self.held.cancel(id) {
            return Received::Nothing;
        }
        self.served
            .remove(id)
            .map_or(Received::Nothing, |request| Received::Unwanted { id, kind: request.kind })
    }

    fn error(
        &mut self,
        now: Nanos,
        header: &Header,
        payload: &[u8],
    ) -> Result<Received<'static, C>, Violation> {
        let (code, text) = ErrorCode::from_payload(payload)?;
        let (kind, theirs) = (header.kind, header.epoch);
        if header.flags.has(crate::rpc::frame::Flags::ABOUT_ONE_WAY) {
            return Ok(Received::OneWayRefused { kind, theirs, code });
        }
        if code == ErrorCode::NotYet {
            self.wait_for_peer(now, header.id);
            return Ok(Received::Nothing);
        }
        Ok(self.complete(header.id, |call| {
            let may_have_run = call.ran_before;
            let refused = |why| CallError::Refused { why, may_have_run };
            Err(match code {
                ErrorCode::StaleEpoch | ErrorCode::NotYet => CallError::StaleEpoch { theirs, may_have_run },
                ErrorCode::Busy => refused(Refusal::Busy),
                ErrorCode::UnknownKind => refused(Refusal::UnknownKind { kind }),
                ErrorCode::Malformed => refused(Refusal::Malformed(text.to_owned())),
                ErrorCode::Failed => CallError::Failed(text.to_owned()),
                ErrorCode::AnswerLost => CallError::AnswerLost(text.to_owned()),
            })
        }))
    }

    /// The peer has not reached the call's epoch and didn't run it: it is sent again a little later. Every call that can
    /// be refused in this way is fenced, so its bytes were kept.
    fn wait_for_peer(&mut self, now: Nanos, id: u64) {
        if let Some(call) = self.calls.get_mut(id)
            && call.spec.fenced
            && call.state == CallState::Sent
        {
            call.state = CallState::Waiting { retry_at: now + RETRY };
            call.reached = false;
            self.alarm = self.alarm.min(call.alarm());
        }
    }

    /// Ends a call, if it isn't over already: then its deadline came first.
    pub(super) fn complete<'a>(
        &mut self,
        id: u64,
        result: impl FnOnce(&Call<C>) -> Result<Incoming<'a>, CallError>,
    ) -> Received<'a, C> {
        let Some(call) = self.calls.remove(id) else { return Received::Nothing };
        let result = result(&call);
        Received::Completed { token: call.token, result }
    }
}
