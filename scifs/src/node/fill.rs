//! Bytes that came with a message go into their frames: a run of pages by one system call, which spares the processor a fault
//! and the zeroing for each frame that is new; fewer pages by copies, since those mostly come back to frames that are there.

use std::ops::Range;

use scios::limits::PAGE_BYTES;

use super::turn::Turn;
use crate::coherence::{Body, Effect, Grant, Input, Message, Mode, PageId};

/// From so many pages on a call is cheaper than copies.
const RUN_MIN: usize = 4;

/// The pages whose frames were filled by one call.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pages: Range<u32>,
    /// Nobody may write them before the next input, so what came is what is in the frames.
    unwritten: bool,
}

/// Whether what comes of this input lets nobody write.
pub(super) fn lends(input: &Input) -> bool {
    let Input::Message { message: Message { body: Body::Grant(Grant { mode, .. }), .. }, .. } = input else {
        return false;
    };
    *mode == Mode::Read
}

impl<'a> Turn<'a> {
    /// Fills the frames of all pages that `effects` fill, if they are a run. A page that is filled had no bytes here
    /// before, so no effect that comes earlier in the list looks at them.
    pub(super) fn fill_ahead(&mut self, effects: &[Effect], unwritten: bool) {
        self.filled = Filled::default();
        if self.carried.is_none_or(|(_, body)| body.len() < RUN_MIN * PAGE_BYTES) {
            return;
        }
        let mut filled = effects.iter().filter_map(|effect| match effect {
            Effect::Fill { page } => Some(*page),
            _ => None,
        });
        let Some(first) = filled.next() else { return };
        let pages = 1 + filled.zip(1..).take_while(|(page, n)| first.ahead(*n) == Some(*page)).count();
        let bytes = self.carried_bytes(first, pages).filter(|_| pages >= RUN_MIN);
        let (Some(bytes), Some(file)) = (bytes, self.file(first)) else { return };
        if file.fill(first, bytes) {
            self.pages.metrics.pages_received.add(pages as u64);
            self.filled = Filled { pages: first.index..first.index + pages as u32, unwritten };
        }
    }

    pub(super) fn fill(&mut self, page: PageId) {
        if self.filled.pages.contains(&page.index) {
            return;
        }
        match self.carried_bytes(page, 1) {
            Some(bytes) => {
                self.pages.metrics.pages_received.increment();
                self.put(page, bytes);
            }
            // A grant of an epoch that this node had not heard of: nobody who keeps the protocol sends that.
            None => self.put(page, &[0; PAGE_BYTES]),
        }
    }

    /// What is in the page's frame, as it came: that is still in the processor's cache, and the frame need not be mapped.
    pub(super) fn as_it_came(&self, page: PageId) -> Option<&'a [u8]> {
        let there = self.filled.unwritten && self.filled.pages.contains(&page.index);
        if there { self.carried_bytes(page, 1) } else { None }
    }

    fn carried_bytes(&self, first: PageId, pages: usize) -> Option<&'a [u8]> {
        let (carried, body) = self.carried?;
        let at = first.index.checked_sub(carried.index)? as usize * PAGE_BYTES;
        body.get(at..at + pages * PAGE_BYTES).filter(|_| carried.segment == first.segment)
    }
}
