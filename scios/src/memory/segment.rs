//! The pages of one segment that are on this node.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Budget, Class, while_full};
use super::resident::ResidentSet;
use super::{MemoryError, Region, RegionSlice};
use crate::limits::{PAGE_BYTES, RELEASE_RUN_PAGES_MAX, SEGMENT_BYTES_MAX};

/// A sparse memory file of the segment's size: page `n` of the segment is page `n` of the file, wherever it is mapped.
///
/// Memory is charged by [`populate`](Self::populate), not by touching it: a page is populated before it is written
/// and not written after its release, which is for the owner of the page's state to keep. Dropping this gives
/// everything back, also when other processes have the file mapped: they see zeros then.
pub struct SegmentMemory {
    budget: Arc<Budget>,
    region: Arc<Region>,
    pages: u64,
    resident: Mutex<ResidentSet>,
}

impl SegmentMemory {
    pub(super) fn new(budget: Arc<Budget>, name: &str, bytes: u64) -> Result<Self, MemoryError> {
        if !(1..=SEGMENT_BYTES_MAX).contains(&bytes) {
            return Err(MemoryError::Segment { bytes, max: SEGMENT_BYTES_MAX });
        }
        let pages = bytes.div_ceil(PAGE_BYTES as u64);
        let region = Region::new(name, pages * PAGE_BYTES as u64)?;
        Ok(Self { budget, region, pages, resident: Mutex::new(ResidentSet::default()) })
    }

    /// The mapping, whose file is what clients map and whose id is what a fabric registers.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The bytes of one page, populated or not.
    pub fn page(&self, page: u64) -> Result<RegionSlice, MemoryError> {
        self.check(page)?;
        self.region.slice(page * PAGE_BYTES as u64, PAGE_BYTES)
    }

    /// Charges one frame for a page, evicting others if need be; `false` when it was charged already.
    /// The caller holds no lock that the evictor takes.
    pub fn populate(&self, page: u64) -> Result<bool, MemoryError> {
        self.check(page)?;
        let mut new = false;
        while_full(&self.budget, 1, || {
            // Charge and bit change together, so that threads that populate one page charge it once.
            let mut resident = self.resident.lock();
            if resident.contains(page) {
                return true;
            }
            new = self.budget.try_reserve(Class::Segments, 1);
            new && resident.insert(page)
        })?;
        Ok(new)
    }

    pub fn is_resident(&self, page: u64) -> bool {
        self.resident.lock().contains(page)
    }

    pub fn resident_pages(&self) -> u64 {
        self.resident.lock().count()
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
            self.region.punch(run.start * PAGE_BYTES as u64, count * PAGE_BYTES as u64)?;
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
            let run = self.resident.lock().next_run(at..self.pages)?;
            at = run.end;
            Some(run)
        })
    }

    fn check(&self, page: u64) -> Result<(), MemoryError> {
        if page < self.pages {
            return Ok(());
        }
        Err(MemoryError::Page { page, pages: self.pages })
    }
}

impl Drop for SegmentMemory {
    fn drop(&mut self) {
        // Slices, or clients that have the file mapped, would otherwise keep memory that is credited here.
        if let Err(error) = self.release(0..self.pages) {
            tracing::error!(%error, pages = self.resident_pages(), "a segment's pages could not be given back; they stay charged");
        }
    }
}

impl fmt::Debug for SegmentMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentMemory")
            .field("region", &self.region)
            .field("resident_pages", &self.resident_pages())
            .finish_non_exhaustive()
    }
}
