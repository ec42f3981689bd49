//! One file as this node has to do with it: its frames, which segments its pages belong to, and who writes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use scios::limits::PAGE_BYTES;
use scios::memory::{MemoryError, RegionSlice, SegmentMemory};

use super::ahead::Ahead;
use super::layout::{self, Layout, generation_of};
use crate::coherence::PageId;
use crate::coherence::limits::EXTENT_PAGES;

/// Pages of the longest possible file: what an index of 32 bits can name.
pub(super) const FILE_PAGES: u64 = 1 << 32;

pub struct File {
    inode: u64,
    memory: SegmentMemory,
    place: RwLock<Place>,
    size: AtomicU64,
    /// Open handles of this node that may write.
    writers: AtomicU32,
    pub(super) ahead: Mutex<Ahead>,
    /// The first writer makes the others wait until the kernel is ready for it.
    pub(super) opening: Mutex<()>,
    /// Changes of size that the kernel waits for: until they are done it writes nothing back.
    resizing: AtomicBool,
    /// Threads that take pages of it from the kernel and are needed for other things.
    taking: AtomicU32,
    /// It was deleted, though this node may have it open: from a membership before, which the cluster has ended.
    gone: AtomicBool,
}

/// Which segment each page belongs to. Locked for reading while a frame is touched, so that nobody writes bytes of a page that
/// has just been cut off into the frame of its successor.
struct Place {
    layout: Layout,
    /// Pages of which others sent something of a generation that this node has not been told of yet.
    newer: BTreeMap<u32, u32>,
}

impl Place {
    fn generation(&self, page: u32) -> u32 {
        let known = self.layout.generation(page);
        if self.newer.is_empty() {
            known
        } else {
            self.newer.get(&page).map_or(known, |newer| known.max(*newer))
        }
    }
}

impl File {
    pub(super) fn new(inode: u64, memory: SegmentMemory) -> Self {
        let place = Place { layout: Layout::default(), newer: BTreeMap::new() };
        Self {
            inode,
            memory,
            place: RwLock::new(place),
            size: AtomicU64::new(0),
            writers: AtomicU32::new(0),
            ahead: Mutex::default(),
            opening: Mutex::default(),
            resizing: AtomicBool::new(false),
            taking: AtomicU32::new(0),
            gone: AtomicBool::new(false),
        }
    }

    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether it was deleted: nothing of it can be had any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// The size as this node was last told.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// The size after a write by this node; never smaller than before.
    pub fn grow(&self, size: u64) {
        self.size.fetch_max(size, Ordering::AcqRel);
    }

    pub fn layout(&self) -> Layout {
        self.place.read().layout.clone()
    }

    /// Whether somebody on this node has it open for writing.
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::SeqCst) > 0
    }

    /// One more writer. True when it is the first.
    pub(super) fn add_writer(&self) -> bool {
        self.writers.fetch_add(1, Ordering::SeqCst) == 0
    }

    pub(super) fn remove_writer(&self) {
        // One close too many is a mistake of the caller, and not worth a wrap-around.
        let less = |writers: u32| writers.checked_sub(1);
        if self.writers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_err() {
            tracing::error!(inode = self.inode, "a file was closed for writing more often than opened");
        }
    }

    /// The kernel asks for another size. Until it has its answer it writes no page of the file back, so whoever takes pages
    /// from it may wait for long: from now on that is for a thread that nothing else needs, and for good, since the kernel
    /// begins to hold back before this is known here. False as long as another thread is at it still: should that last, it
    /// waits for the answer, which may need it; then the kernel is to be told to try again.
    pub fn is_resizable(&self) -> bool {
        self.resizing.store(true, Ordering::SeqCst);
        self.taking.load(Ordering::SeqCst) == 0
    }

    /// Runs what takes pages from the kernel on a thread that is needed for other things, unless that may take long.
    pub(super) fn take_here(&self, take: impl FnOnce()) -> bool {
        self.taking.fetch_add(1, Ordering::SeqCst);
        let here = !self.resizing.load(Ordering::SeqCst);
        if here {
            take();
        }
        self.taking.fetch_sub(1, Ordering::SeqCst);
        here
    }

    /// The last page with bytes in it, as far as this node knows.
    pub(super) fn last_page(&self) -> u32 {
        u32::try_from(self.size().saturating_sub(1) / PAGE_BYTES as u64).unwrap_or(u32::MAX)
    }

    /// The file's frames. Who touches one holds its shard's lock and goes through `touch`.
    pub fn memory(&self) -> &SegmentMemory {
        &self.memory
    }

    pub(super) fn page(&self, page: u32) -> PageId {
        let generation = self.place.read().generation(page);
        PageId { segment: layout::segment(self.inode, generation), index: page }
    }

    /// The page and how many follow it, `last` at most, in the same segment and extent.
    pub(super) fn chunk(&self, page: u32, last: u32) -> (PageId, u32) {
        let place = self.place.read();
        let generation = place.generation(page);
        let mut end = last.min(page | (EXTENT_PAGES - 1)).min(place.layout.piece_end(page));
        if !place.newer.is_empty() {
            let other = (page..=end).find(|page| place.generation(*page) != generation);
            end = other.map_or(end, |other| other - 1);
        }
        (PageId { segment: layout::segment(self.inode, generation), index: page }, end - page + 1)
    }

    /// Runs with the page's frame, unless the page was cut off since: then nobody looks at its bytes any more.
    pub(super) fn touch<T>(
        &self,
        page: PageId,
        with: impl FnOnce(&RegionSlice) -> Result<T, MemoryError>,
    ) -> Option<T> {
        let place = self.current(page)?;
        let done = self.memory.page(u64::from(page.index)).and_then(|frame| with(&frame));
        drop(place);
        done.inspect_err(|error| tracing::error!(%error, ?page, "a frame could not be touched")).ok()
    }

    /// Puts the bytes of a run of pages into their frames by one call. False, and nothing done, where that has to be looked
    /// at page by page: some were cut off, or there is no memory for all.
    pub(super) fn fill(&self, first: PageId, bytes: &[u8]) -> bool {
        let place = self.place.read();
        let (index, pages) = (first.index, bytes.len() / PAGE_BYTES);
        let last = u32::try_from(pages).ok().and_then(|pages| index.checked_add(pages)?.checked_sub(1));
        let same = place.newer.is_empty()
            && place.layout.generation(index) == generation_of(first)
            && last.is_some_and(|last| last <= place.layout.piece_end(index));
        same && self.memory.fill(u64::from(index), bytes).is_ok()
    }

    pub(super) fn is_current(&self, page: PageId) -> bool {
        self.place.read().generation(page.index) <= generation_of(page)
    }

    /// Whether the whole segment of this generation was cut off.
    pub(super) fn has_dropped(&self, generation: u32) -> bool {
        let place = self.place.read();
        generation < place.layout.newest() && !place.layout.has(generation)
    }

    /// The frames of a run as they are sent. Pages that were cut off are sent as zeros.
    pub(super) fn gather(&self, first: PageId, run: u16, zeros: &RegionSlice) -> Option<Vec<RegionSlice>> {
        let pages = || (0..u32::from(run)).map_while(|n| first.ahead(n));
        if pages().all(|page| self.is_current(page)) {
            return Some(vec![self.memory.run(u64::from(first.index), usize::from(run)).ok()?]);
        }
        let frames = pages().map(|page| {
            if self.is_current(page) {
                self.memory.page(u64::from(page.index)).ok()
            } else {
                Some(zeros.clone())
            }
        });
        frames.collect()
    }

    /// Takes the page's frame from whoever maps it. Its bytes stay; nobody may change them meanwhile.
    pub(super) fn unmap(&self, page: PageId) {
        let Some(place) = self.current(page) else { return };
        if let Err(error) = self.memory.unmap(u64::from(page.index)) {
            tracing::error!(%error, ?page, "a frame could not be taken from programs");
        }
        drop(place);
    }

    /// Gives the page's frame back, unless it is another page's by now.
    pub(super) fn release(&self, page: PageId) {
        if let Some(place) = self.current(page) {
            let at = u64::from(page.index);
            if let Err(error) = self.memory.release(at..at + 1) {
                tracing::error!(%error, ?page, "a frame could not be given back");
            }
            drop(place);
        }
    }

    /// Locks the layout while it says that the frame is this page's.
    fn current(&self, page: PageId) -> Option<parking_lot::RwLockReadGuard<'_, Place>> {
        let generation = generation_of(page);
        let place = self.place.read();
        match place.generation(page.index) {
            newer if newer > generation => None,
            same if same == generation => Some(place),
            _ => {
                drop(place);
                self.place.write().newer.insert(page.index, generation);
                let place = self.place.read();
                (place.generation(page.index) == generation).then_some(place)
            }
        }
    }

    /// Takes a new layout. The frames of pages that belong to another generation now are given back. Returns the runs of
    /// those pages with the layout of before, whose copies in the kernel are still there.
    pub(super) fn relayout(&self, layout: &Layout) -> (Layout, Vec<(u32, u32)>) {
        let mut place = self.place.write();
        let before = place.layout.clone();
        if layout.newest() < before.newest() {
            return (before, Vec::new());
        }
        let changes = layout.changes(&before);
        for (first, last) in &changes {
            // What others already sent of the new generation stays.
            let kept: Vec<u32> = place.newer.range(first..=last).map(|(page, _)| *page).collect();
            let mut at = u64::from(*first);
            for keep in kept.into_iter().map(u64::from).chain([u64::from(*last) + 1]) {
                if let Err(error) = self.memory.release(at..keep) {
                    tracing::error!(%error, inode = self.inode, "frames could not be given back");
                }
                at = keep + 1;
            }
        }
        place.newer.retain(|page, newer| layout.generation(*page) < *newer);
        place.layout = layout.clone();
        (before, changes)
    }

    /// Forgets what it knew and gives all frames back: a new membership begins.
    pub(super) fn reset(&self) {
        let mut place = self.place.write();
        place.newer.clear();
        if let Err(error) = self.memory.release(0..FILE_PAGES) {
            tracing::error!(%error, inode = self.inode, "frames could not be given back");
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("inode", &self.inode).field("size", &self.size()).finish_non_exhaustive()
    }
}

/// The last page that a range of bytes touches, and the first; nothing for an empty or impossible range.
pub(super) fn page_range(offset: u64, bytes: u64) -> Option<(u32, u32)> {
    let last = offset.checked_add(bytes)?.checked_sub(1)?;
    let page = |at: u64| u32::try_from(at / PAGE_BYTES as u64).ok();
    if bytes == 0 { None } else { Some((page(offset)?, page(last)?)) }
}
