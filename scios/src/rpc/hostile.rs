//! What fuzzers feed: a session between its calls and its answers, and a peer that sends anything.

use std::time::Duration;

use super::codec::Writer;
use super::session::{CallSpec, Session};
use crate::limits::{
    RPC_CONTROL_BYTES_MAX, RPC_ERROR_TEXT_BYTES_MAX, RPC_HELD_BYTES_MAX, RPC_MESSAGE_BYTES_MAX,
    RPC_OUTBOX_BYTES_MAX, RPC_SERVED_MAX,
};
use crate::{Epoch, Nanos};

/// The most that a peer can make a session keep, in bytes; control frames are checked before they are added.
pub const BYTES_KEPT_MAX: usize = RPC_OUTBOX_BYTES_MAX
    + RPC_CONTROL_BYTES_MAX
    + RPC_ERROR_TEXT_BYTES_MAX
    + 64
    + RPC_MESSAGE_BYTES_MAX
    + RPC_HELD_BYTES_MAX;

/// A session at epoch 2 with two calls under way, ids 0x1000 and 0x1001, to a peer that doesn't read what it is sent.
#[derive(Debug)]
pub struct Victim {
    session: Session<u32>,
    now: Nanos,
}

impl Default for Victim {
    fn default() -> Self {
        Self::new()
    }
}

impl Victim {
    pub fn new() -> Self {
        let mut victim = Self { session: Session::new(Epoch(2)), now: Nanos(1) };
        victim.connect();
        victim
    }

    fn connect(&mut self) {
        self.session.up(self.now);
        for fenced in [true, false] {
            let spec =
                CallSpec { kind: 300, fenced, idempotent: fenced, deadline: Duration::from_millis(50) };
            // It is refused when a peer has left too many open, which is as good.
            let _ = self.session.call(self.now, &spec, &mut Writer::new(), &[], 0);
        }
    }

    /// One frame, a little time, and everything that a driver does. False if it cost the peer its connection; the next
    /// frame is then the first of a new one.
    pub fn feed(&mut self, frame: &[u8]) -> bool {
        self.now = self.now + Duration::from_millis(1);
        let accepted = self.session.receive(self.now, frame).is_ok();
        let mut out = Vec::new();
        self.session.tick(self.now, &mut out);
        if self.session.start_release() {
            while self.session.next_released(self.now).is_some() {}
        }
        if !accepted {
            self.session.down(self.now, &mut out);
            self.connect();
        }
        accepted
    }

    /// Whether all bounds are kept.
    pub fn is_bounded(&self) -> bool {
        self.session.bytes_kept() <= BYTES_KEPT_MAX && self.session.requests_served() <= RPC_SERVED_MAX
    }
}

/// The entry for a fuzz target: `bytes` are frames, each behind its length in two bytes. Panics only when a bound is broken.
pub fn feed_all(bytes: &[u8]) {
    let mut victim = Victim::new();
    let mut left = bytes;
    while let Some((length, rest)) = left.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        victim.feed(frame);
        assert!(victim.is_bounded(), "a peer made a session keep more than its limits");
        left = rest;
    }
}
