//! How messages become bytes: explicit layouts, little-endian, no reflection. `WIRE.md` holds every layout; a change to
//! one of them raises [`crate::verbs::PROTOCOL_VERSION`].
//!
//! - [`Writer`] appends to a buffer that is used again and again. A list or text that is longer than its limit is
//!   remembered, and the message is refused before it leaves ([`Writer::finish`]).
//! - [`Reader`] never panics and never allocates before a length was checked against a named limit *and* against the
//!   bytes that are really there.
//! - [`Message`] ties a type to its kind; [`Request`] ties it to its reply.
//!
//! ```
//! use scios::rpc::codec::{decode, DecodeError, Message, Reader, Writer};
//!
//! #[derive(Debug, PartialEq)]
//! struct Load { frames_free: u64, name: String }
//!
//! impl Message for Load {
//!     const KIND: u16 = 300;
//!     const FENCED: bool = false;
//!     fn encode(&self, to: &mut Writer) {
//!         to.u64(self.frames_free);
//!         to.text("node name", &self.name, 64);
//!     }
//!     fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
//!         Ok(Self { frames_free: from.u64()?, name: from.text("node name", 64)?.to_owned() })
//!     }
//! }
//!
//! let load = Load { frames_free: 7, name: "ant".into() };
//! let mut writer = Writer::new();
//! load.encode(&mut writer);
//! let bytes = writer.finish().unwrap();
//! assert_eq!(bytes, [7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'a', b'n', b't']);
//! assert_eq!(decode::<Load>(bytes).unwrap(), load);
//! ```

use thiserror::Error;

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// Kinds below this are SciOS's own; the layers above choose theirs from here on.
pub const KIND_FIRST_ABOVE: u16 = 256;

/// One type that travels. Its bytes are those of `encode`, followed by at most `BODY_BYTES_MAX` raw bytes.
pub trait Message: Sized {
    /// Unique in the cluster's protocol: 0..=255 are SciOS's own.
    const KIND: u16;
    /// Whether a receiver with another epoch refuses it. What builds the view itself (consensus, join, status) is not
    /// fenced; everything that relies on the view is.
    const FENCED: bool;
    /// How many raw bytes (pages, usually) may follow the encoded fields.
    const BODY_BYTES_MAX: usize = 0;

    fn encode(&self, to: &mut Writer);
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A message that is answered.
pub trait Request: Message {
    type Reply: Message;
    /// Whether running it twice does no more than running it once. Only then is it sent again when it may have run.
    const IDEMPOTENT: bool;
}

/// Why bytes are not the message they claim to be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("ends too early: {needed} bytes needed at offset {at}, {left} are left")]
    Truncated { at: usize, needed: usize, left: usize },
    #[error("{what} has length {length}, more than the {max} allowed")]
    TooLong { what: &'static str, length: usize, max: usize },
    #[error("{value} is not a valid {what}")]
    Invalid { what: &'static str, value: u64 },
    #[error("{what} is not UTF-8")]
    Text { what: &'static str },
    #[error("{bytes} bytes follow the end of the message, at most {max} may")]
    Trailing { bytes: usize, max: usize },
    #[error("message kind {got} came where kind {expected} was due")]
    Kind { expected: u16, got: u16 },
}

/// Why a message can't be sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{what} has length {length}, more than the {max} that the protocol allows; send less at a time")]
pub struct EncodeError {
    pub what: &'static str,
    pub length: usize,
    pub max: usize,
}

/// A message from its bytes; whatever follows it is an error.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (message, body) = decode_with_body(bytes)?;
    if !body.is_empty() {
        return Err(DecodeError::Trailing { bytes: body.len(), max: 0 });
    }
    Ok(message)
}

/// A message and the raw bytes that follow it, of which there may be `M::BODY_BYTES_MAX`.
pub fn decode_with_body<M: Message>(bytes: &[u8]) -> Result<(M, &[u8]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = M::decode(&mut reader)?;
    let body = reader.rest();
    if body.len() > M::BODY_BYTES_MAX {
        return Err(DecodeError::Trailing { bytes: body.len(), max: M::BODY_BYTES_MAX });
    }
    Ok((message, body))
}

#[cfg(test)]
#[path = "codec/tests.rs"]
mod tests;
