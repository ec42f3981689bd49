//! The reading half of the codec: bytes that somebody else made.

use super::DecodeError;
use crate::verbs::{RemoteKey, RemoteSlice};
use crate::{Epoch, NodeId};

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
