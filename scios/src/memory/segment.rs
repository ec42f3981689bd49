//! The pages of one segment that are on this node.

use std::fmt;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Budget, Class, Need, while_full};
use super::file::MemoryFile;
use super::resident::ResidentSet;
use super::windows::{Clock, Windows};
use super::{MemoryError, RegionSlice};
use crate::limits::{PAGE_BYTES, RELEASE_RUN_PAGES_MAX, SEGMENT_BYTES_MAX};

const SEGMENT_PAGES: u64 = SEGMENT_BYTES_MAX / PAGE_BYTES as u64;

/// A sparse memory file that is as large from the start as a segment can ever be: page `n` of the segment is page `n` of the
/// file, wherever it is mapped.
///
/// Memory is charged by [`populate`](Self::populate), not by touching it: a page is populated before it is written
/// and not written after its release, which is for the owner of the page's state to keep. Dropping this gives
/// everything back, also when other processes have the file mapped: they see zeros then.
pub struct SegmentMemory {
    budget: Arc<Budget>,
    file: Arc<MemoryFile>,
    windows: Arc<Windows>,
    resident: Mutex<ResidentSet>,
}

impl SegmentMemory {
    pub(super) fn new(
        budget: Arc<Budget>,
        clock: &Arc<Clock>,
        name: &str,
        window_bytes: u64,
    ) -> Result<Self, MemoryError> {
        let file = Arc::new(MemoryFile::new(name, SEGMENT_BYTES_MAX)?);
        let windows = Windows::new(Arc::clone(&file), window_bytes, clock);
        Ok(Self { budget, file, windows, resident: Mutex::default() })
    }

    /// The memory file, for clients to map.
    pub fn file(&self) -> BorrowedFd<'_> {
        (*self.file).as_fd()
    }

    /// The bytes of one page, populated or not. Its region is the window that it is in: that is what a fabric registers,
    /// and it may be another one, with another id, the next time.
    pub fn page(&self, page: u64) -> Result<RegionSlice, MemoryError> {
        self.run(page, 1)
    }

    /// The bytes of some adjacent pages of one extent.
    pub fn run(&self, first: u64, pages: usize) -> Result<RegionSlice, MemoryError> {
        check(first)?;
        let (window, offset) = self.windows.at(first * PAGE_BYTES as u64)?;
        window.slice(offset, pages.saturating_mul(PAGE_BYTES))
    }

    /// Charges one frame for a page, evicting others if need be; `false` when it was charged already.
    /// The caller holds no lock that the evictor takes.
    pub fn populate(&self, page: u64) -> Result<bool, MemoryError> {
        check(page)?;
        let mut new = false;
        while_full(&self.budget, 1, || {
            let charged = self.charge(page, Need::Usual);
            new = charged == Some(true);
            charged.is_some()
        })?;
        Ok(new)
    }

    /// As `populate`, but asks nobody for room, so it may be called while locks are held.
    pub fn try_populate(&self, page: u64) -> Result<bool, MemoryError> {
        check(page)?;
        self.charge(page, Need::Usual).ok_or_else(|| self.budget.refuse(1))
    }

    /// As `try_populate`, for a page that others rely on this node to take: may use the reserve. The next to populate a page
    /// in the usual way makes room for both.
    pub fn populate_obliged(&self, page: u64) -> Result<bool, MemoryError> {
        check(page)?;
        self.charge(page, Need::Obliged).ok_or_else(|| self.budget.refuse(1))
    }

    /// Puts the bytes of adjacent pages into their frames, charging those that are not populated as `populate_obliged` does. One
    /// system call for all: a frame that is new is neither zeroed nor mapped here for it.
    pub fn fill(&self, first: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let pages = (bytes.len() / PAGE_BYTES) as u64;
        check(first.saturating_add(pages.saturating_sub(1)))?;
        for page in first..first + pages {
            self.charge(page, Need::Obliged).ok_or_else(|| self.budget.refuse(1))?;
        }
        self.file.write(first * PAGE_BYTES as u64, bytes)
    }

    /// True: charged now; false: it was before; nothing: there is no frame for it.
    fn charge(&self, page: u64, need: Need) -> Option<bool> {
        // Charge and bit change together, so that threads that populate one page charge it once.
        let mut resident = self.resident.lock();
        if resident.contains(page) {
            return Some(false);
        }
        self.budget.try_reserve(Class::Segments, 1, need).then(|| resident.insert(page))
    }

    #[cfg(test)]
    pub(super) fn windows_mapped(&self) -> usize {
        self.windows.count()
    }

    pub fn is_resident(&self, page: u64) -> bool {
        self.resident.lock().contains(page)
    }

    pub fn resident_pages(&self) -> u64 {
        self.resident.lock().count()
    }

    /// Takes a resident page from every process that maps it, this one too. Its bytes stay; the caller sees to it that nobody
    /// changes them meanwhile.
    pub fn unmap(&self, page: u64) -> Result<(), MemoryError> {
        let mut bytes = [0; PAGE_BYTES];
        self.page(page)?.read_to(&mut bytes)?;
        let at = page * PAGE_BYTES as u64;
        self.file.punch(at, PAGE_BYTES as u64)?;
        self.file.write(at, &bytes)
    }

    /// Gives back those of `pages` that are resident: their bytes are gone. Returns how many.
    pub fn release(&self, pages: Range<u64>) -> Result<u64, MemoryError> {
        let mut released = 0;
        let mut at = pages.start;
        while at < pages.end {
            // Punched under the lock: a page that is populated again while its old bytes go must not lose new ones. The
            // kernel lets one punch a file go on at a time anyway.
            let mut resident = self.resident.lock();
            let Some(run) = resident.next_run(at..pages.end) else { break };
            let run = run.start..run.end.min(run.start + RELEASE_RUN_PAGES_MAX);
            let count = run.end - run.start;
            self.file.punch(run.start * PAGE_BYTES as u64, count * PAGE_BYTES as u64)?;
            at = run.end;
            resident.remove(run);
            self.budget.credit(Class::Segments, count);
            released += count;
        }
        Ok(released)
    }

    /// Resident pages from `from` on, in runs. Pages that come and go during the walk may be seen or not.
    pub fn resident_runs(&self, from: u64) -> impl Iterator<Item = Range<u64>> {
        let mut at = from;
        std::iter::from_fn(move || {
            let run = self.resident.lock().next_run(at..SEGMENT_PAGES)?;
            at = run.end;
            Some(run)
        })
    }
}

fn check(page: u64) -> Result<(), MemoryError> {
    if page < SEGMENT_PAGES {
        return Ok(());
    }
    Err(MemoryError::Page { page, pages: SEGMENT_PAGES })
}

impl Drop for SegmentMemory {
    fn drop(&mut self) {
        // Slices, or clients that have the file mapped, would otherwise keep memory that is credited here.
        if let Err(error) = self.release(0..SEGMENT_PAGES) {
            tracing::error!(%error, pages = self.resident_pages(), "a segment's pages could not be given back; they stay charged");
        }
    }
}

impl fmt::Debug for SegmentMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMemory")
            .field("file", &self.file)
            .field("resident_pages", &self.resident_pages())
            .finish_non_exhaustive()
    }
}
