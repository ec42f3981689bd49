//! Bytes of pages whose frames were taken from programs: they are sent from here, and put into new frames only if they are still
//! needed and nobody waits for that.

use std::sync::Arc;

use scios::limits::PAGE_BYTES;
use scios::memory::{MemoryError, Region, RegionSlice};

use super::file::File;
use super::turn::Turn;
use crate::coherence::limits::RUN_PAGES_MAX;
use crate::coherence::{MapperId, PageId};

/// As many pages as leave by one message.
#[derive(Default)]
pub(super) struct Aside {
    room: Option<Arc<Region>>,
    pages: Vec<(PageId, RegionSlice)>,
}

impl Aside {
    fn next(&mut self) -> Result<RegionSlice, MemoryError> {
        let room = match &self.room {
            Some(room) => room,
            None => {
                let bytes = u64::from(RUN_PAGES_MAX) * PAGE_BYTES as u64;
                self.room.insert(Region::new("scifs-aside", bytes)?)
            }
        };
        room.slice((self.pages.len() * PAGE_BYTES) as u64, PAGE_BYTES)
    }

    pub(super) fn get(&self, page: PageId) -> Option<&RegionSlice> {
        self.pages.iter().find(|(known, _)| *known == page).map(|(_, bytes)| bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

impl Turn<'_> {
    /// Takes a page's frame from programs. Its bytes are aside then, unless nobody will need them.
    pub(super) fn put_aside(&mut self, file: &File, page: PageId) {
        let unneeded = self.engine().is_none_or(|engine| engine.drops_next(page, MapperId::VM, self.now));
        if self.shard.aside.pages.len() >= usize::from(RUN_PAGES_MAX) {
            self.put_back();
        }
        match self.shard.aside.next() {
            Ok(room) if file.unmap(page, &room) => {
                if !unneeded {
                    self.shard.aside.pages.push((page, room));
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, ?page, "there is no room to take a page from programs; they keep it")
            }
        }
    }

    /// Puts what is aside into frames.
    pub(super) fn put_back(&mut self) {
        for (page, bytes) in std::mem::take(&mut self.shard.aside.pages) {
            self.put(page, &bytes.to_vec());
        }
    }
}
