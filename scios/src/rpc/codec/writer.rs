//! The writing half of the codec.

use super::EncodeError;
use crate::rpc::frame::{HEADER_BYTES, Header};
use crate::verbs::{RemoteKey, RemoteSlice};
use crate::{Epoch, NodeId};

/// Appends fields to a buffer. Lengths are 32 bits and come before what they count.
#[derive(Debug)]
pub struct Writer {
    /// Begins with room for a frame's header, so that header and message leave in one piece without a copy.
    bytes: Vec<u8>,
    fault: Option<EncodeError>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], fault: None }
    }
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
        self.bytes.truncate(HEADER_BYTES);
        self.fault = None;
    }

    /// What was written, unless something in it was longer than its limit.
    pub fn finish(&self) -> Result<&[u8], EncodeError> {
        match self.fault {
            None => Ok(self.payload()),
            Some(fault) => Err(fault),
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Header and message as they travel.
    pub(in crate::rpc) fn frame(&self) -> &[u8] {
        &self.bytes
    }

    /// The message without its header, whether or not it can be sent.
    pub(in crate::rpc) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    pub(in crate::rpc) fn set_header(&mut self, header: Header) {
        if let Some(room) = self.bytes.first_chunk_mut() {
            *room = header.to_bytes();
        }
    }

    /// How much memory it keeps.
    pub(in crate::rpc) fn capacity(&self) -> usize {
        self.bytes.capacity()
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
