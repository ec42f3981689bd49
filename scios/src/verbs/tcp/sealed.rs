//! Encrypted records on their way to the decoder: a buffer of fixed size in front of the inbox.

use super::inbox::Inbox;
use crate::auth::{Opener, RecordError};

/// Two of the longest records.
const BYTES: usize = 2 * (2 + 65_535);

#[derive(Debug)]
pub(super) struct SealedInbox {
    opener: Opener,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl SealedInbox {
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, buffer: vec![0; BYTES].into(), start: 0, end: 0 }
    }

    /// Where to receive to. Never empty as long as `open_into` was called until it had nothing left.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < BYTES / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// Copies in as much of `bytes` as fits; says how much.
    pub(super) fn put(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare();
        let fits = spare.len().min(bytes.len());
        if let (Some(to), Some(from)) = (spare.get_mut(..fits), bytes.get(..fits)) {
            to.copy_from_slice(from);
        }
        self.filled(fits);
        fits
    }

    /// Opens the next record, if it is there whole.
    pub(super) fn open_into(&mut self, inbox: &mut Inbox) -> Result<bool, RecordError> {
        let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(bytes) = Opener::record_bytes(waiting)? else { return Ok(false) };
        let Some(record) = waiting.get(..bytes) else { return Ok(false) };
        let opened = self.opener.open(record, inbox.spare())?;
        inbox.filled(opened);
        self.start += bytes;
        Ok(true)
    }
}
