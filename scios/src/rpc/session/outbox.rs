//! What waits to be sent to one peer: frames for which the fabric had no room, the fragments of long messages, and the small
//! frames that a session sends by itself. One thread at a time sends from it, without holding the session.
//!
//! ```text
//!            start_sending                 queue empty
//!   Idle ──────────────────▶ Sending ─────────────────────▶ Idle
//!                             │    ▲
//!       Full, not writable    │    │ start_sending after writable()
//!       in the meantime       ▼    │
//!                            Blocked
//! ```

use std::collections::VecDeque;

use crate::limits::RPC_OUTBOX_BYTES_MAX;
use crate::memory::RegionSlice;
use crate::rpc::frame::{FRAME_PAYLOAD_BYTES_MAX, Flags, Header};

/// A frame that was copied because it could not be sent at once.
#[derive(Debug)]
pub struct QueuedFrame {
    pub bytes: Vec<u8>,
    /// The call whose request has left completely when this frame has.
    pub(super) completes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A thread is sending. `writable` came since it took its last frame.
    Sending {
        writable: bool,
    },
    Blocked,
}

#[derive(Debug)]
pub(super) struct Outbox {
    state: State,
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { state: State::Idle, frames: VecDeque::new(), bytes: 0 }
    }

    /// Nothing is before a message that would be sent now.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle && self.frames.is_empty()
    }

    pub(super) fn has_work(&self) -> bool {
        self.state == State::Idle && !self.frames.is_empty()
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= RPC_OUTBOX_BYTES_MAX
    }

    /// Copies a message, cut into as many frames as it takes. The caller has checked `has_room`.
    pub(super) fn push(&mut self, header: Header, payload: &[u8], body: &[RegionSlice], call: Option<u64>) {
        let mut gathered = Vec::new();
        let whole = if body.is_empty() {
            payload
        } else {
            gathered = gather(payload, body);
            &gathered
        };
        if whole.len() <= FRAME_PAYLOAD_BYTES_MAX {
            self.push_frame(header, &[], whole, call);
        } else {
            self.push_fragments(header, whole, call);
        }
        drop(gathered);
    }

    fn push_fragments(&mut self, header: Header, whole: &[u8], call: Option<u64>) {
        let total = (whole.len() as u32).to_le_bytes();
        let (first, rest) = whole.split_at(FRAME_PAYLOAD_BYTES_MAX - total.len());
        let with = |flags: u8| Header { flags: Flags(header.flags.0 | flags), ..header };
        self.push_frame(with(Flags::MORE), &total, first, None);
        let mut chunks = rest.chunks(FRAME_PAYLOAD_BYTES_MAX).peekable();
        while let Some(chunk) = chunks.next() {
            let (more, completes) = if chunks.peek().is_some() { (Flags::MORE, None) } else { (0, call) };
            self.push_frame(with(Flags::CONTINUED | more), &[], chunk, completes);
        }
    }

    /// For the small frames that a session sends by itself; they are as few as the calls that they are about.
    pub(super) fn push_control(&mut self, header: Header, payload: &[u8]) {
        self.push_frame(header, &[], payload, None);
    }

    fn push_frame(&mut self, header: Header, prefix: &[u8], payload: &[u8], completes: Option<u64>) {
        let bytes = [&header.to_bytes()[..], prefix, payload].concat();
        self.bytes += bytes.len();
        self.frames.push_back(QueuedFrame { bytes, completes });
    }

    /// The first frame to send, for the one thread that sends until `next` gives nothing.
    pub(super) fn start(&mut self) -> Option<QueuedFrame> {
        if self.state != State::Idle || self.frames.is_empty() {
            return None;
        }
        self.state = State::Sending { writable: false };
        self.frames.pop_front()
    }

    /// The next frame after one that was sent.
    pub(super) fn next(&mut self, sent: &QueuedFrame) -> Option<QueuedFrame> {
        self.bytes = self.bytes.saturating_sub(sent.bytes.len());
        let frame = self.frames.pop_front();
        self.state = if frame.is_some() { State::Sending { writable: false } } else { State::Idle };
        frame
    }

    /// Takes back a frame for which there was no room. Gives it out again if there is room by now.
    pub(super) fn refused(&mut self, frame: QueuedFrame) -> Option<QueuedFrame> {
        if self.state == (State::Sending { writable: true }) {
            self.state = State::Sending { writable: false };
            return Some(frame);
        }
        self.frames.push_front(frame);
        self.state = State::Blocked;
        None
    }

    pub(super) fn writable(&mut self) {
        self.state = match self.state {
            State::Sending { .. } => State::Sending { writable: true },
            State::Idle | State::Blocked => State::Idle,
        };
    }

    /// The peer is gone, and with it all that waits. A thread that is sending notices by itself.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.writable();
    }
}

/// Head and body as one run of bytes.
pub(super) fn gather(head: &[u8], body: &[RegionSlice]) -> Vec<u8> {
    let mut bytes = Vec::new();
    gather_into(&mut bytes, head, body);
    bytes
}

pub(super) fn gather_into(bytes: &mut Vec<u8>, head: &[u8], body: &[RegionSlice]) {
    bytes.extend_from_slice(head);
    for slice in body {
        let start = bytes.len();
        bytes.resize(start + slice.bytes(), 0);
        if let Some(into) = bytes.get_mut(start..) {
            // The lengths are equal, so this cannot fail.
            let _ = slice.read_to(into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;
    use crate::rpc::frame::FrameType;

    const HEADER: Header = Header {
        frame_type: FrameType::OneWay,
        flags: Flags(0),
        kind: 300,
        deadline_us: 0,
        id: 1,
        epoch: Epoch(0),
    };

    fn two() -> Outbox {
        let mut outbox = Outbox::new();
        outbox.push(HEADER, b"a", &[], None);
        outbox.push(HEADER, b"b", &[], None);
        outbox
    }

    #[test]
    fn one_thread_sends_at_a_time_and_in_order() {
        let mut outbox = two();
        assert!(!outbox.is_idle());
        let first = outbox.start().unwrap();
        assert!(outbox.start().is_none());
        assert!(first.bytes.ends_with(b"a"));
        let second = outbox.next(&first).unwrap();
        assert!(second.bytes.ends_with(b"b"));
        assert!(outbox.next(&second).is_none());
        assert!(outbox.is_idle());
    }

    #[test]
    fn a_refused_frame_is_first_again_once_there_is_room() {
        let mut outbox = two();
        let first = outbox.start().unwrap();
        assert!(outbox.refused(first).is_none());
        assert!(outbox.start().is_none());
        outbox.writable();
        assert!(outbox.start().unwrap().bytes.ends_with(b"a"));
    }

    #[test]
    fn room_that_came_while_a_frame_was_being_refused_is_not_missed() {
        let mut outbox = two();
        let first = outbox.start().unwrap();
        outbox.writable();
        assert!(outbox.refused(first).unwrap().bytes.ends_with(b"a"));
    }

    #[test]
    fn a_message_leaves_in_one_frame_exactly_up_to_the_limit() {
        for (extra, frames) in [(0, 1), (1, 2)] {
            let mut outbox = Outbox::new();
            outbox.push(HEADER, &vec![0; FRAME_PAYLOAD_BYTES_MAX + extra], &[], Some(5));
            assert_eq!(outbox.frames.len(), frames);
            assert_eq!(outbox.frames.back().unwrap().completes, Some(5));
            assert!(outbox.frames.iter().rev().skip(1).all(|frame| frame.completes.is_none()));
        }
    }
}
