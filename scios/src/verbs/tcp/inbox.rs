//! The decoder of one connection's byte stream: a buffer of fixed size that bytes are put into at one end and whole
//! frames come out of at the other. Pure, so that it can be fuzzed; it never grows, whatever a peer sends.

use super::frame::{FrameError, Header};
use crate::limits::{MESSAGE_BYTES_MAX, RECEIVE_BUFFER_BYTES};

/// Everything that must be in the buffer at once: a header and a message or the head of a `Place`.
const WHOLE_BYTES_MAX: usize = super::frame::HEADER_BYTES_MAX + MESSAGE_BYTES_MAX;
const _: () = assert!(RECEIVE_BUFFER_BYTES >= 2 * WHOLE_BYTES_MAX);

/// What `next_frame` finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Message(&'a [u8]),
    /// Its `header` says how many payload bytes come next, `head` is the message that a `Place` carries.
    Begin {
        header: Header,
        head: &'a [u8],
        payload_bytes: usize,
    },
    /// A frame without payload.
    Control(Header),
    /// The payload's next bytes.
    Payload(&'a [u8]),
}

pub struct Inbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Payload bytes of the frame that has begun which have not been taken yet.
    payload_left: usize,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("waiting", &(self.end - self.start))
            .field("payload_left", &self.payload_left)
            .finish_non_exhaustive()
    }
}

impl Default for Inbox {
    fn default() -> Self {
        // Zeroed memory from the kernel: what is never received into is never paid for.
        Self { buffer: vec![0; RECEIVE_BUFFER_BYTES].into(), start: 0, end: 0, payload_left: 0 }
    }
}

impl Inbox {
    /// Where to receive to. Never empty as long as `next_frame` was called until it had nothing left.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.end < WHOLE_BYTES_MAX {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `bytes` of `spare` have been filled.
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// Copies in as much of `bytes` as fits; says how much.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let fits = spare.len().min(bytes.len());
        if let (Some(to), Some(from)) = (spare.get_mut(..fits), bytes.get(..fits)) {
            to.copy_from_slice(from);
        }
        self.filled(fits);
        fits
    }

    /// How much of the begun frame's payload has neither been taken from here nor received past the buffer.
    pub fn payload_left(&self) -> usize {
        self.payload_left
    }

    /// Nothing is buffered: the next byte of the stream is still in the kernel.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Says that `bytes` of payload were received elsewhere, past this buffer (which must be empty).
    pub fn payload_received(&mut self, bytes: usize) {
        self.payload_left = self.payload_left.saturating_sub(bytes);
    }

    /// The next frame, or the next piece of payload; `None` while more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.payload_left > 0 {
            return Ok(self.next_payload());
        }
        let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((header, header_bytes)) = Header::decode(waiting)? else { return Ok(None) };
        let whole_bytes = match header {
            Header::Message { bytes } => bytes as usize,
            Header::Place { head_bytes, .. } => head_bytes as usize,
            _ => 0,
        };
        let Some(whole) = waiting.get(header_bytes..header_bytes + whole_bytes) else { return Ok(None) };
        self.start += header_bytes + whole_bytes;
        Ok(Some(match header {
            Header::Message { .. } => Frame::Message(whole),
            Header::Write { .. } | Header::WriteImm { .. } | Header::Place { .. } | Header::Data { .. } => {
                self.payload_left = header.body_bytes() - whole_bytes;
                Frame::Begin { header, head: whole, payload_bytes: self.payload_left }
            }
            _ => Frame::Control(header),
        }))
    }

    fn next_payload(&mut self) -> Option<Frame<'_>> {
        let taken = self.payload_left.min(self.end - self.start);
        if taken == 0 {
            return None;
        }
        let from = self.start;
        self.start += taken;
        self.payload_left -= taken;
        self.buffer.get(from..from + taken).map(Frame::Payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::tcp::frame::Target;

    /// What arrives is the same however the bytes were cut on their way.
    #[test]
    fn frames_come_out_whole_whatever_pieces_they_arrive_in() {
        let target = Target { key: 1, at: 2 };
        let mut stream = Vec::new();
        stream.extend_from_slice(Header::Message { bytes: 5 }.encode().bytes());
        stream.extend_from_slice(b"hello");
        stream.extend_from_slice(Header::Place { head_bytes: 4, target, bytes: 6 }.encode().bytes());
        stream.extend_from_slice(b"headplaced");
        stream.extend_from_slice(Header::Ping.encode().bytes());
        for piece in 1..stream.len() {
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            let mut placed = Vec::new();
            for bytes in stream.chunks(piece) {
                assert_eq!(inbox.put(bytes), bytes.len());
                while let Some(frame) = inbox.next_frame().unwrap() {
                    match frame {
                        Frame::Message(bytes) => seen.push(format!("message {}", bytes.len())),
                        Frame::Begin { head, payload_bytes, .. } => {
                            seen.push(format!("place {} {payload_bytes}", String::from_utf8_lossy(head)));
                        }
                        Frame::Control(header) => seen.push(format!("{header:?}")),
                        Frame::Payload(bytes) => placed.extend_from_slice(bytes),
                    }
                }
            }
            assert_eq!(seen, ["message 5", "place head 6", "Ping"], "pieces of {piece}");
            assert_eq!(placed, b"placed");
            assert!(inbox.is_empty());
        }
    }

    #[test]
    fn there_is_always_room_for_the_rest_of_the_longest_frame() {
        let mut inbox = Inbox::default();
        let bytes = vec![7; MESSAGE_BYTES_MAX];
        let mut stream = Vec::new();
        for _ in 0..9 {
            stream.extend_from_slice(Header::Message { bytes: bytes.len() as u32 }.encode().bytes());
            stream.extend_from_slice(&bytes);
        }
        let mut messages = 0;
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let put = inbox.put(rest.get(..rest.len().min(50_001)).unwrap());
            assert!(put > 0, "the buffer is full and no frame comes out");
            rest = &rest[put..];
            while let Some(frame) = inbox.next_frame().unwrap() {
                assert_eq!(frame, Frame::Message(&bytes));
                messages += 1;
            }
        }
        assert_eq!(messages, 9);
    }
}
