//! A payload on its way into memory.

use super::frame::Target;
use crate::memory::RegionSlice;

/// What to do when all of it is there.
#[derive(Debug)]
pub(super) enum Then {
    /// Deliver the head of a `Place`.
    Message(Box<[u8]>),
    /// Tell the requester of a write, and the handler when there is an immediate value.
    Acknowledge { tag: u32, imm: Option<u32> },
    /// A read of this node has ended.
    Done { tag: u32 },
}

#[derive(Debug)]
pub(super) struct Fill {
    slice: RegionSlice,
    filled: usize,
    /// The grant that allows it, where one has to.
    pub(super) granted: Option<(Target, usize)>,
    pub(super) then: Then,
}

impl Fill {
    pub(super) fn new(slice: RegionSlice, granted: Option<(Target, usize)>, then: Then) -> Self {
        Self { slice, filled: 0, granted, then }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slice.bytes()
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled >= self.slice.bytes()
    }

    /// What is still to be filled.
    pub(super) fn rest(&self) -> Option<RegionSlice> {
        self.slice.part(self.filled, self.slice.bytes() - self.filled).ok()
    }

    /// Bytes were received straight into `rest`.
    pub(super) fn placed(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.slice.bytes());
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        // The decoder gives no more than the header announced, which is the slice's length.
        if let Ok(part) = self.slice.part(self.filled, bytes.len())
            && part.write_from(bytes).is_ok()
        {
            self.filled += bytes.len();
        }
    }
}
