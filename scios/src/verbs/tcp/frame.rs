//! The frames that travel on an authenticated connection: their byte layouts, in one place. `WIRE.md` draws them.
//! Pure: bytes in, a header or an error out. Whatever the bytes are, decoding neither panics nor allocates.

use thiserror::Error;

use crate::limits::{MESSAGE_BYTES_MAX, PLACED_BYTES_MAX};

/// What every frame starts with: kind, three more bytes, length.
pub const PREFIX_BYTES: usize = 8;

/// The longest header with the operands of an atomic behind it.
pub const HEADER_BYTES_MAX: usize = 48;

/// Raise `PROTOCOL_VERSION` with every change to these or to what follows them.
mod kind {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const PING: u8 = 2;
    pub(super) const BYE: u8 = 3;
    pub(super) const READ: u8 = 4;
    pub(super) const WRITE: u8 = 5;
    pub(super) const WRITE_IMM: u8 = 6;
    pub(super) const PLACE: u8 = 7;
    pub(super) const COMPARE_AND_SWAP: u8 = 8;
    pub(super) const FETCH_ADD: u8 = 9;
    pub(super) const DATA: u8 = 10;
    pub(super) const DONE: u8 = 11;
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("a frame of kind {kind} names {bytes} bytes, more than the {max} allowed")]
    Oversized { kind: u8, bytes: usize, max: usize },
    #[error("a frame of kind {0} has bits set that mean nothing")]
    Reserved(u8),
}

/// Why a peer says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bye {
    Closed,
    /// The receiver of this reached for memory that was not granted to it.
    Denied,
    /// The receiver of this broke the protocol.
    Protocol,
}

/// Where in granted memory an operation works: the grant's key and an offset into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub key: u64,
    pub at: u64,
}

/// One frame without the bytes that follow it. `tag` is the requester's name for an operation, given back with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Message { bytes: u32 },
    Ping,
    Bye(Bye),
    Read { tag: u32, target: Target, bytes: u32 },
    Write { tag: u32, target: Target, bytes: u32 },
    WriteImm { tag: u32, target: Target, bytes: u32, imm: u32 },
    Place { head_bytes: u32, target: Target, bytes: u32 },
    CompareAndSwap { tag: u32, target: Target, expected: u64, new: u64 },
    FetchAdd { tag: u32, target: Target, add: u64 },
    Data { tag: u32, bytes: u32 },
    Done { tag: u32, denied: bool, value: u64 },
}

impl Header {
    /// Bytes of the frame that follow the header.
    pub fn body_bytes(&self) -> usize {
        match *self {
            Self::Message { bytes }
            | Self::Write { bytes, .. }
            | Self::WriteImm { bytes, .. }
            | Self::Data { bytes, .. } => bytes as usize,
            Self::Place { head_bytes, bytes, .. } => head_bytes as usize + bytes as usize,
            _ => 0,
        }
    }

    pub fn encode(&self) -> Encoded {
        let mut out = Encoded { bytes: [0; HEADER_BYTES_MAX], used: PREFIX_BYTES };
        match *self {
            Self::Message { bytes } => out.prefix(kind::MESSAGE, 0, bytes),
            Self::Ping => out.prefix(kind::PING, 0, 0),
            Self::Bye(why) => out.prefix(kind::BYE, bye_byte(why), 0),
            Self::Read { tag, target, bytes } => out.operation(kind::READ, bytes, tag, 0, target),
            Self::Write { tag, target, bytes } => out.operation(kind::WRITE, bytes, tag, 0, target),
            Self::WriteImm { tag, target, bytes, imm } => {
                out.operation(kind::WRITE_IMM, bytes, tag, imm, target);
            }
            Self::Place { head_bytes, target, bytes } => {
                out.operation(kind::PLACE, bytes, head_bytes, 0, target);
            }
            Self::CompareAndSwap { tag, target, expected, new } => {
                out.operation(kind::COMPARE_AND_SWAP, 8, tag, 0, target);
                out.push(&expected.to_le_bytes());
                out.push(&new.to_le_bytes());
            }
            Self::FetchAdd { tag, target, add } => {
                out.operation(kind::FETCH_ADD, 8, tag, 0, target);
                out.push(&add.to_le_bytes());
            }
            Self::Data { tag, bytes } => {
                out.prefix(kind::DATA, 0, bytes);
                out.push(&tag.to_le_bytes());
                out.push(&[0; 4]);
            }
            Self::Done { tag, denied, value } => {
                out.prefix(kind::DONE, u8::from(denied), 0);
                out.push(&tag.to_le_bytes());
                out.push(&[0; 4]);
                out.push(&value.to_le_bytes());
            }
        }
        out
    }

    /// The header at the start of `bytes` and its length; `None` while more bytes are needed to tell.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [kind, flags, zero_a, zero_b, length @ ..] = *prefix;
        let body_bytes = u32::from_le_bytes(length);
        let flags_max = match kind {
            kind::BYE => 2,
            kind::DONE => 1,
            _ => 0,
        };
        if flags > flags_max || zero_a != 0 || zero_b != 0 {
            return Err(FrameError::Reserved(kind));
        }
        check_length(kind, body_bytes)?;
        match kind {
            kind::MESSAGE => Ok(Some((Self::Message { bytes: body_bytes }, PREFIX_BYTES))),
            kind::PING => Ok(Some((Self::Ping, PREFIX_BYTES))),
            kind::BYE => Ok(Some((Self::Bye(bye_of(flags)), PREFIX_BYTES))),
            kind::DATA => decode_data(rest, body_bytes),
            kind::DONE => decode_done(rest, flags == 1),
            _ => decode_operation(kind, rest, body_bytes),
        }
    }
}

fn bye_byte(why: Bye) -> u8 {
    match why {
        Bye::Closed => 0,
        Bye::Denied => 1,
        Bye::Protocol => 2,
    }
}

fn bye_of(flags: u8) -> Bye {
    match flags {
        0 => Bye::Closed,
        1 => Bye::Denied,
        _ => Bye::Protocol,
    }
}

/// The length field alone already tells most garbage from frames, so it is judged before anything is waited for.
fn check_length(kind: u8, bytes: u32) -> Result<(), FrameError> {
    let (min, max) = match kind {
        kind::MESSAGE => (0, MESSAGE_BYTES_MAX),
        kind::READ | kind::WRITE | kind::WRITE_IMM | kind::PLACE | kind::DATA => (0, PLACED_BYTES_MAX),
        kind::COMPARE_AND_SWAP | kind::FETCH_ADD => (8, 8),
        kind::PING | kind::BYE | kind::DONE => (0, 0),
        unknown => return Err(FrameError::Kind(unknown)),
    };
    let bytes = bytes as usize;
    if bytes > max {
        return Err(FrameError::Oversized { kind, bytes, max });
    }
    if bytes < min {
        return Err(FrameError::Reserved(kind));
    }
    Ok(())
}

type Decoded = Result<Option<(Header, usize)>, FrameError>;

fn decode_data(rest: &[u8], bytes: u32) -> Decoded {
    let Some((fields, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (tag, zero) = halves(*fields);
    if zero != 0 {
        return Err(FrameError::Reserved(kind::DATA));
    }
    Ok(Some((Header::Data { tag, bytes }, PREFIX_BYTES + 8)))
}

fn decode_done(rest: &[u8], denied: bool) -> Decoded {
    let Some((fields, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let Some((value, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (tag, zero) = halves(*fields);
    if zero != 0 {
        return Err(FrameError::Reserved(kind::DONE));
    }
    Ok(Some((Header::Done { tag, denied, value: u64::from_le_bytes(*value) }, PREFIX_BYTES + 16)))
}

fn decode_operation(kind: u8, rest: &[u8], bytes: u32) -> Decoded {
    const BYTES: usize = PREFIX_BYTES + 24;
    let Some((fields, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let Some((key, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let Some((at, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let (tag, second) = halves(*fields);
    let target = Target { key: u64::from_le_bytes(*key), at: u64::from_le_bytes(*at) };
    if second != 0 && kind != kind::WRITE_IMM {
        return Err(FrameError::Reserved(kind));
    }
    let header = match kind {
        kind::READ => Header::Read { tag, target, bytes },
        kind::WRITE => Header::Write { tag, target, bytes },
        kind::WRITE_IMM => Header::WriteImm { tag, target, bytes, imm: second },
        kind::PLACE => {
            if tag as usize > MESSAGE_BYTES_MAX {
                return Err(FrameError::Oversized { kind, bytes: tag as usize, max: MESSAGE_BYTES_MAX });
            }
            Header::Place { head_bytes: tag, target, bytes }
        }
        kind::COMPARE_AND_SWAP => {
            let Some((operands, _)) = rest.split_first_chunk::<16>() else { return Ok(None) };
            let wide = u128::from_le_bytes(*operands);
            let (expected, new) = (wide as u64, (wide >> 64) as u64);
            return Ok(Some((Header::CompareAndSwap { tag, target, expected, new }, BYTES + 16)));
        }
        kind::FETCH_ADD => {
            let Some((add, _)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            let add = u64::from_le_bytes(*add);
            return Ok(Some((Header::FetchAdd { tag, target, add }, BYTES + 8)));
        }
        unknown => return Err(FrameError::Kind(unknown)),
    };
    Ok(Some((header, BYTES)))
}

fn halves(fields: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, rest @ ..] = fields;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(rest))
}

/// A header as it travels.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; HEADER_BYTES_MAX],
    used: usize,
}

impl Encoded {
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&self.bytes)
    }

    fn prefix(&mut self, kind: u8, flags: u8, bytes: u32) {
        let [a, b, c, d] = bytes.to_le_bytes();
        if let Some(prefix) = self.bytes.first_chunk_mut::<PREFIX_BYTES>() {
            *prefix = [kind, flags, 0, 0, a, b, c, d];
        }
    }

    fn operation(&mut self, kind: u8, bytes: u32, first: u32, second: u32, target: Target) {
        self.prefix(kind, 0, bytes);
        self.push(&first.to_le_bytes());
        self.push(&second.to_le_bytes());
        self.push(&target.key.to_le_bytes());
        self.push(&target.at.to_le_bytes());
    }

    fn push(&mut self, field: &[u8]) {
        let end = self.used + field.len();
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(field);
            self.used = end;
        }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
