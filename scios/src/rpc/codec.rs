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

use crate::verbs::{RemoteKey, RemoteSlice};
use crate::{Epoch, NodeId};

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

/// Appends fields to a buffer. Lengths are 32 bits and come before what they count.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    fault: Option<EncodeError>,
}

macro_rules! put {
    ($($name:ident),*) => {$(
        #[inline]
        pub fn $name(&mut self, value: $name) {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    )*};
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the writer and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fault = None;
    }

    /// What was written, unless something in it was longer than its limit.
    pub fn finish(&self) -> Result<&[u8], EncodeError> {
        match self.fault {
            None => Ok(&self.bytes),
            Some(fault) => Err(fault),
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    put!(u8, u16, u32, u64, i64, u128);

    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub fn node(&mut self, id: NodeId) {
        self.u64(id.get());
    }

    pub fn epoch(&mut self, epoch: Epoch) {
        self.u64(epoch.0);
    }

    /// Bytes whose number both sides know.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Length and bytes, at most `max` of them.
    pub fn bytes(&mut self, what: &'static str, bytes: &[u8], max: usize) {
        if self.length(what, bytes.len(), max) {
            self.raw(bytes);
        }
    }

    /// Length in bytes and UTF-8.
    pub fn text(&mut self, what: &'static str, text: &str, max_bytes: usize) {
        self.bytes(what, text.as_bytes(), max_bytes);
    }

    /// Number of items and the items. An item must take at least one byte.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        items: &[T],
        max: usize,
        mut put: impl FnMut(&mut Self, &T),
    ) {
        if self.length(what, items.len(), max) {
            for item in items {
                put(self, item);
            }
        }
    }

    /// One byte, 0 or 1, and the value if it is 1.
    pub fn option<T>(&mut self, value: Option<&T>, put: impl FnOnce(&mut Self, &T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub fn remote_key(&mut self, key: &RemoteKey) {
        self.u64(key.key);
        self.u64(key.base);
        self.u64(key.bytes);
    }

    /// The length of a slice is 32 bits: no operation moves more.
    pub fn remote_slice(&mut self, slice: &RemoteSlice) {
        self.remote_key(&slice.key);
        self.u64(slice.offset);
        self.length("remote slice", slice.bytes, u32::MAX as usize);
    }

    /// Writes a length, or remembers that it is too much. True when what it counts should follow.
    fn length(&mut self, what: &'static str, length: usize, max: usize) -> bool {
        match u32::try_from(length) {
            Ok(short) if length <= max => {
                self.u32(short);
                true
            }
            _ => {
                self.fault.get_or_insert(EncodeError { what, length, max });
                false
            }
        }
    }
}

/// Takes fields from bytes that somebody else made.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
    total: usize,
}

macro_rules! get {
    ($($name:ident),*) => {$(
        #[inline]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            self.array().map($name::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, total: bytes.len() }
    }

    /// How many bytes have not been taken yet.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Everything that has not been taken yet.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// The end of a message that nothing may follow.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes, max: 0 }),
        }
    }

    get!(u8, u16, u32, u64, i64, u128);

    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Invalid { what: "truth value", value: u64::from(other) }),
        }
    }

    pub fn node(&mut self) -> Result<NodeId, DecodeError> {
        NodeId::new(self.u64()?).ok_or(DecodeError::Invalid { what: "node id", value: 0 })
    }

    pub fn epoch(&mut self) -> Result<Epoch, DecodeError> {
        self.u64().map(Epoch)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.left.split_first_chunk::<N>() {
            Some((array, left)) => {
                self.left = left;
                Ok(*array)
            }
            None => Err(self.truncated(N)),
        }
    }

    /// `bytes` bytes, not copied.
    #[inline]
    pub fn raw(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        match self.left.split_at_checked(bytes) {
            Some((taken, left)) => {
                self.left = left;
                Ok(taken)
            }
            None => Err(self.truncated(bytes)),
        }
    }

    /// Length and bytes, not copied.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(what, max)?;
        self.raw(length)
    }

    /// Length in bytes and UTF-8, not copied.
    pub fn text(&mut self, what: &'static str, max_bytes: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(what, max_bytes)?).map_err(|_| DecodeError::Text { what })
    }

    /// Number of items and the items. Memory is taken only for items that can really be there.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut get: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = self.length(what, max)?;
        if length > self.left.len() {
            return Err(self.truncated(length));
        }
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(get(self)?);
        }
        Ok(items)
    }

    pub fn option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { get(self).map(Some) } else { Ok(None) }
    }

    pub fn remote_key(&mut self) -> Result<RemoteKey, DecodeError> {
        Ok(RemoteKey { key: self.u64()?, base: self.u64()?, bytes: self.u64()? })
    }

    pub fn remote_slice(&mut self) -> Result<RemoteSlice, DecodeError> {
        let key = self.remote_key()?;
        let offset = self.u64()?;
        let bytes = self.u32()? as usize;
        Ok(RemoteSlice { key, offset, bytes })
    }

    fn length(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let length = self.u32()? as usize;
        if length > max {
            return Err(DecodeError::TooLong { what, length, max });
        }
        Ok(length)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { at: self.total - self.left.len(), needed, left: self.left.len() }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
