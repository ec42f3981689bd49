//! The head of every RPC frame: 24 bytes, laid out in `WIRE.md`. A frame is one message of the fabric.
//!
//! Changing anything here means: raise `PROTOCOL_VERSION` in `verbs/mod.rs` and change `WIRE.md` and the golden bytes.

use super::codec::{DecodeError, Reader};
use super::error::Violation;
use crate::Epoch;
use crate::limits::{MESSAGE_BYTES_MAX, RPC_DEADLINE_MAX_MS, RPC_ERROR_TEXT_BYTES_MAX};

pub const HEADER_BYTES: usize = 24;

/// What one frame carries beside its header.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = MESSAGE_BYTES_MAX - HEADER_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    Request = 1,
    OneWay = 2,
    Reply = 3,
    Error = 4,
    Cancel = 5,
}

impl FrameType {
    fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Request,
            2 => Self::OneWay,
            3 => Self::Reply,
            4 => Self::Error,
            5 => Self::Cancel,
            _ => return None,
        })
    }

    /// The flags that make sense with this type.
    fn flags_allowed(self) -> u8 {
        match self {
            Self::Request | Self::OneWay | Self::Reply => Flags::MORE | Flags::CONTINUED | Flags::FENCED,
            Self::Error => Flags::ABOUT_ONE_WAY,
            Self::Cancel => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The message goes on in a later frame.
    pub const MORE: u8 = 1;
    /// The frame goes on with the message of the same type and id.
    pub const CONTINUED: u8 = 2;
    /// Only a receiver of the same epoch may act on it.
    pub const FENCED: u8 = 4;
    /// In an error: the id is that of a one-way message, not of a request.
    pub const ABOUT_ONE_WAY: u8 = 8;

    pub fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    pub fn fenced(fenced: bool) -> Self {
        Self(if fenced { Self::FENCED } else { 0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub frame_type: FrameType,
    pub flags: Flags,
    /// Of the message; in an error or a cancel, of the message that it is about.
    pub kind: u16,
    /// How long the sender still waits. Only a request has it, and always.
    pub deadline_us: u32,
    /// The caller's name for a request, and of what is about it; one-way messages are numbered by themselves.
    pub id: u64,
    /// The view in which the sender decided to send this; in an error, the view in which it was refused.
    pub epoch: Epoch,
}

impl Header {
    pub fn fenced(&self) -> bool {
        self.flags.has(Flags::FENCED)
    }

    #[inline]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.frame_type as u8;
        bytes[1] = self.flags.0;
        bytes[2..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.deadline_us.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes
    }

    /// The header and what follows it.
    #[inline]
    pub fn split(frame: &[u8]) -> Result<(Self, &[u8]), Violation> {
        let mut reader = Reader::new(frame);
        let (type_byte, flags) = (reader.u8()?, Flags(reader.u8()?));
        let frame_type = FrameType::from_wire(type_byte).ok_or(Violation::FrameType { value: type_byte })?;
        let header = Self {
            frame_type,
            flags,
            kind: reader.u16()?,
            deadline_us: reader.u32()?,
            id: reader.u64()?,
            epoch: reader.epoch()?,
        };
        header.check()?;
        Ok((header, reader.rest()))
    }

    fn check(&self) -> Result<(), Violation> {
        if self.flags.0 & !self.frame_type.flags_allowed() != 0 {
            return Err(Violation::Flags { flags: self.flags.0, frame_type: self.frame_type });
        }
        let deadline_ms = u64::from(self.deadline_us) / 1000;
        let has_deadline = self.deadline_us != 0;
        if has_deadline != (self.frame_type == FrameType::Request) || deadline_ms > RPC_DEADLINE_MAX_MS {
            return Err(Violation::Deadline { deadline_us: self.deadline_us, frame_type: self.frame_type });
        }
        Ok(())
    }
}

/// Why a message was not acted on, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorCode {
    /// The message is of an older epoch than the receiver's. It was not run.
    StaleEpoch = 1,
    /// The message is of a newer epoch than the receiver's, which has no room to keep it. It was not run.
    NotYet = 2,
    /// The receiver serves as much for this peer as it can. It was not run.
    Busy = 3,
    /// Nobody serves this kind. It was not run.
    UnknownKind = 4,
    /// The bytes are not a message of this kind. It was not run.
    Malformed = 5,
    /// It was run and failed; the text says how.
    Failed = 6,
    /// It was run, but its answer did not get through: there was no room, or the handler gave none.
    AnswerLost = 7,
}

impl ErrorCode {
    fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::StaleEpoch,
            2 => Self::NotYet,
            3 => Self::Busy,
            4 => Self::UnknownKind,
            5 => Self::Malformed,
            6 => Self::Failed,
            7 => Self::AnswerLost,
            _ => return None,
        })
    }

    /// The payload of an error frame. A text that is too long is cut.
    pub(super) fn to_payload(self, text: &str) -> Vec<u8> {
        let mut cut = text.len().min(RPC_ERROR_TEXT_BYTES_MAX);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut bytes = Vec::with_capacity(5 + cut);
        bytes.push(self as u8);
        bytes.extend_from_slice(&(cut as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes().get(..cut).unwrap_or_default());
        bytes
    }

    pub(super) fn from_payload(payload: &[u8]) -> Result<(Self, &str), DecodeError> {
        let mut reader = Reader::new(payload);
        let value = reader.u8()?;
        let code = Self::from_wire(value)
            .ok_or(DecodeError::Invalid { what: "error code", value: u64::from(value) })?;
        let text = reader.text("error text", RPC_ERROR_TEXT_BYTES_MAX)?;
        reader.end()?;
        Ok((code, text))
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
