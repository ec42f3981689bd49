//! What happens to a session without a frame: time passes, the peer comes and goes, the view changes.

use super::calls::CallState;
use super::{RETRY, Received, Session};
use crate::rpc::error::CallError;
use crate::rpc::frame::{HEADER_BYTES, Header};
use crate::{Epoch, Nanos};

impl<C> Session<C> {
    /// When `tick` has something to do, at the earliest.
    pub fn alarm(&self) -> Nanos {
        self.alarm
    }

    /// Ends what has come to its deadline and sends again what has waited long enough. Costs as much as there
    /// is under way, so it does nothing before the alarm.
    pub fn tick(&mut self, now: Nanos, out: &mut Vec<Received<'static, C>>) {
        if now < self.alarm {
            return;
        }
        self.expire_calls(now, out);
        for (id, request) in self.served.take_expired(now) {
            out.push(Received::Unwanted { id, kind: request.kind });
        }
        while let Some(message) = self.held.pop_expired(now) {
            out.push(self.not_held(&message.header));
        }
        for id in
            self.calls.ids(|call| matches!(call.state, CallState::Waiting { retry_at } if retry_at <= now))
        {
            self.send_again(now, id);
        }
        let calls = self.calls.iter().map(|(_, call)| call.alarm()).min().unwrap_or(Nanos::MAX);
        self.alarm = calls.min(self.served.alarm()).min(self.held.alarm());
    }

    fn expire_calls(&mut self, now: Nanos, out: &mut Vec<Received<'static, C>>) {
        for id in self.calls.ids(|call| call.deadline <= now) {
            let Some(call) = self.calls.remove(id) else { continue };
            self.tell_unwanted(id, &call);
            let result = Err(CallError::TimedOut { may_have_run: call.may_have_run() });
            out.push(Received::Completed { token: call.token, result });
        }
    }

    /// The peer is connected: what waited for it is sent.
    pub fn up(&mut self, now: Nanos) {
        self.up = true;
        for id in self.calls.ids(|call| call.state != CallState::Sent) {
            self.send_again(now, id);
        }
    }

    /// The connection is lost. Idempotent calls wait for the peer to come back, and so do calls that it has not run;
    /// all others end.
    pub fn down(&mut self, now: Nanos, out: &mut Vec<Received<'static, C>>) {
        self.up = false;
        self.outbox.clear();
        self.reassembly.clear();
        self.held.clear();
        for id in self.calls.ids(|call| call.state == CallState::Sent) {
            let Some(call) = self.calls.get_mut(id) else { continue };
            call.ran_before = call.may_have_run();
            call.reached = false;
            if call.spec.idempotent {
                call.state = CallState::Waiting { retry_at: now + RETRY };
                self.alarm = self.alarm.min(call.alarm());
                continue;
            }
            out.push(self.complete(id, |call| Err(CallError::PeerLost { may_have_run: call.ran_before })));
        }
    }

    /// The peer will not come back, or this node stops: every call ends with the error that `why` makes of whether it
    /// may have been run.
    pub fn abandon(&mut self, why: impl Fn(bool) -> CallError, out: &mut Vec<Received<'static, C>>) {
        self.up = false;
        self.outbox.clear();
        self.reassembly.clear();
        self.held.clear();
        for id in self.calls.ids(|_| true) {
            out.push(self.complete(id, |call| Err(why(call.may_have_run()))));
        }
    }

    /// This node has a new view. Messages that waited for it are ready for `start_release`. Views only go forward.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
        if self.held.is_ready(self.epoch) {
            self.alarm = Nanos::ZERO;
        }
    }

    /// Nothing is under way, here or there, so nobody would notice that the session begins anew.
    pub fn is_unused(&self) -> bool {
        !self.up && self.calls.len() == 0 && self.served.len() == 0
    }

    fn send_again(&mut self, now: Nanos, id: u64) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.state = CallState::Waiting { retry_at: now + RETRY };
        self.alarm = self.alarm.min(call.alarm());
        let Some((header, payload)) = call.kept.split_first_chunk::<HEADER_BYTES>() else { return };
        if !self.up || !self.outbox.has_room(payload.len()) {
            return;
        }
        let Ok((header, _)) = Header::split(header) else { return };
        let deadline_us =
            call.deadline.since(now).as_micros().clamp(1, u128::from(header.deadline_us)) as u32;
        self.outbox.push(Header { deadline_us, ..header }, payload, &[], Some(id));
        call.state = CallState::Sent;
    }
}
