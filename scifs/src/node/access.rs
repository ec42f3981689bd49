//! One request of a surface: bytes of a file that the daemon itself reads or writes, page by page as it gets hold of them, or
//! one page for the kernel's cache.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use scios::limits::PAGE_BYTES;
use scios::memory::{MemoryError, RegionSlice};

use super::fault::PageFault;
use super::file::File;
use super::limits::LONG_READ_BYTES;
use super::programs::ProgramFault;
use crate::coherence::Mode;

pub(super) type AccessDone = Box<dyn FnOnce(Result<Vec<u8>, PageFault>) + Send>;
pub(super) type MapDone = Box<dyn FnOnce(Result<&[u8], PageFault>) + Send>;

/// Who waits for an answer of the engine.
pub(super) enum Waiting {
    Access(Arc<Access>),
    Map(MapRead),
    Program(ProgramFault),
    /// A page that is fetched ahead.
    Nobody,
}

pub(super) struct MapRead {
    pub(super) file: Arc<File>,
    pub(super) page: u32,
    pub(super) began: Instant,
    /// It was answered at once, from what is here.
    pub(super) local: bool,
    pub(super) done: MapDone,
}

/// A read or write of a range of a file, under way.
pub(super) struct Access {
    pub(super) file: Arc<File>,
    pub(super) mode: Mode,
    offset: u64,
    length: usize,
    bytes: Mutex<Vec<u8>>,
    /// Pages that are not done, and one for who still asks for them.
    left: AtomicUsize,
    failed: Mutex<Option<PageFault>>,
    done: Mutex<Option<AccessDone>>,
}

impl Access {
    /// `bytes` are what is written or room for what is read. `pages` is how many pages it touches.
    pub(super) fn new(
        file: &Arc<File>,
        mode: Mode,
        offset: u64,
        bytes: Vec<u8>,
        pages: u32,
        done: AccessDone,
    ) -> Arc<Self> {
        Arc::new(Self {
            file: Arc::clone(file),
            mode,
            offset,
            length: bytes.len(),
            bytes: Mutex::new(bytes),
            left: AtomicUsize::new(pages as usize + 1),
            failed: Mutex::new(None),
            done: Mutex::new(Some(done)),
        })
    }

    /// Copies the part of the range that lies in this page.
    pub(super) fn copy(&self, page: u32, frame: &RegionSlice) -> Result<(), MemoryError> {
        let Some(part) = part_of(self.offset, self.length, page) else { return Ok(()) };
        let frame = frame.part(part.in_page, part.bytes)?;
        let mut bytes = self.bytes.lock();
        let Some(bytes) = bytes.get_mut(part.in_range..part.in_range + part.bytes) else { return Ok(()) };
        match self.mode {
            Mode::Read => frame.read_to(bytes),
            Mode::Write => frame.write_from(bytes),
        }
    }

    /// Copies the part of the range that lies in this page out of the page's bytes.
    pub(super) fn read_from(&self, page: u32, from: &[u8]) -> Result<(), MemoryError> {
        let Some(part) = part_of(self.offset, self.length, page) else { return Ok(()) };
        let mut bytes = self.bytes.lock();
        let into = bytes.get_mut(part.in_range..part.in_range + part.bytes);
        if let (Some(into), Some(from)) = (into, from.get(part.in_page..part.in_page + part.bytes)) {
            into.copy_from_slice(from);
        }
        Ok(())
    }

    /// Whether a write leaves nothing of the page as it was.
    pub(super) fn covers(&self, page: u32) -> bool {
        self.mode == Mode::Write
            && part_of(self.offset, self.length, page).is_some_and(|part| part.bytes == PAGE_BYTES)
    }

    pub(super) fn is_long_read(&self) -> bool {
        self.mode == Mode::Read && self.length >= LONG_READ_BYTES
    }

    pub(super) fn fail(&self, fault: PageFault) {
        self.failed.lock().get_or_insert(fault);
    }

    /// One part is done. True when it was the last.
    pub(super) fn is_last_part(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Answers, once. Holding no lock.
    pub(super) fn finish(&self) {
        let Some(done) = self.done.lock().take() else { return };
        let failed = self.failed.lock().take();
        done(match failed {
            Some(fault) => Err(fault),
            None => Ok(std::mem::take(&mut *self.bytes.lock())),
        });
    }
}

pub(super) struct Part {
    pub(super) in_page: usize,
    pub(super) in_range: usize,
    pub(super) bytes: usize,
}

/// Where a range of bytes and a page meet.
pub(super) fn part_of(offset: u64, length: usize, page: u32) -> Option<Part> {
    let page_start = u64::from(page) * PAGE_BYTES as u64;
    let start = offset.max(page_start);
    let end = (offset + length as u64).min(page_start + PAGE_BYTES as u64);
    let bytes = end.checked_sub(start).filter(|bytes| *bytes > 0)?;
    Some(Part {
        in_page: (start - page_start) as usize,
        in_range: (start - offset) as usize,
        bytes: bytes as usize,
    })
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("file", &self.file)
            .field("mode", &self.mode)
            .field("offset", &self.offset)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_its_pages() {
        let parts: Vec<_> =
            (0..4).map(|page| part_of(4000, 5000, page).map(|p| (p.in_page, p.in_range, p.bytes))).collect();
        assert_eq!(parts, [Some((4000, 0, 96)), Some((0, 96, 4096)), Some((0, 4192, 808)), None]);
    }
}
