//! What surfaces ask of the pages: bytes read and written by the daemon itself, and pages for the kernel's cache.

use std::sync::Arc;
use std::time::Instant;

use scios::limits::PAGE_BYTES;

use super::access::{Access, MapRead, Waiting, part_of};
use super::fault::PageFault;
use super::file::{File, page_range};
use super::limits::ACCESS_PAGES_MAX;
use super::pages::Pages;
use super::shard::number_of;
use super::turn::{After, Turn};
use crate::coherence::limits::RUN_PAGES_MAX;
use crate::coherence::{Fault, Input, MapperId, Mode, PageId};

impl Pages {
    /// Reads bytes, coherent with every node's accesses. `done` runs once, on this thread or on the one that brings the last page;
    /// it must not wait.
    pub fn read(
        self: &Arc<Self>,
        file: &Arc<File>,
        offset: u64,
        bytes: usize,
        done: impl FnOnce(Result<Vec<u8>, PageFault>) + Send + 'static,
    ) {
        self.access(file, Mode::Read, offset, vec![0; bytes], Box::new(done));
    }

    /// Writes bytes; as `read`.
    pub fn write(
        self: &Arc<Self>,
        file: &Arc<File>,
        offset: u64,
        data: Vec<u8>,
        done: impl FnOnce(Result<(), PageFault>) + Send + 'static,
    ) {
        self.access(file, Mode::Write, offset, data, Box::new(move |result| done(result.map(drop))));
    }

    /// Makes pages read as zeros, also lost ones. For a few; many are punched out by a new layout.
    pub fn zero(
        self: &Arc<Self>,
        file: &Arc<File>,
        pages: std::ops::Range<u32>,
        done: impl FnOnce(Result<(), PageFault>) + Send + 'static,
    ) {
        let (offset, bytes) = (u64::from(pages.start), pages.len());
        self.write(file, offset * PAGE_BYTES as u64, vec![0; bytes * PAGE_BYTES], done);
    }

    /// A page for the kernel's cache. `done` runs once, under the lock of the page's shard: it answers the kernel and calls
    /// nothing of this folder.
    pub fn map_read(
        self: &Arc<Self>,
        file: &Arc<File>,
        page: u32,
        done: impl FnOnce(Result<&[u8], PageFault>) + Send + 'static,
    ) {
        let began = Instant::now();
        let read = MapRead { file: Arc::clone(file), page, began, local: true, done: Box::new(done) };
        let ahead = file.ahead.lock().read(page, 1);
        self.when_open(move |pages| {
            let mut after = After::default();
            pages.ask_map(read, &mut after);
            pages.finish(after);
        });
        let mode = if file.has_writers() { Mode::Write } else { Mode::Read };
        self.fetch_ahead(file, ahead, mode);
    }

    /// The kernel writes a mapped page back. Never waits for anything but a shard's lock. Bytes of a page that the kernel has
    /// no right to any more, since it was cut off meanwhile, are dropped.
    pub fn write_back(&self, file: &Arc<File>, offset: u64, data: &[u8]) -> Result<(), PageFault> {
        let (first, last) = page_range(offset, data.len() as u64).ok_or(PageFault::Range)?;
        let mut after = After::default();
        for index in first..=last {
            let (page, Some(part)) = (file.page(index), part_of(offset, data.len(), index)) else { continue };
            self.turn(number_of(page.extent()), None, &mut after, |turn| {
                if !turn.is_mapped(page, Mode::Write) {
                    return tracing::debug!(
                        ?page,
                        "the kernel wrote back a page that isn't its own any more"
                    );
                }
                if let Some(bytes) = data.get(part.in_range..part.in_range + part.bytes) {
                    file.touch(page, |frame| frame.part(part.in_page, part.bytes)?.write_from(bytes));
                }
            });
        }
        Ok(())
    }

    /// Zeroes the bytes from `offset` to the end of its page, for a file that is being cut there. What the kernel has of
    /// the page stays with it: it cuts its copy itself, and while it does it would not give the page back.
    pub fn cut_tail(
        self: &Arc<Self>,
        file: &Arc<File>,
        offset: u64,
        done: impl FnOnce(Result<(), PageFault>) + Send + 'static,
    ) {
        let from = (offset % PAGE_BYTES as u64) as usize;
        let Some((index, _)) = page_range(offset, 1).filter(|_| from > 0) else { return done(Ok(())) };
        let (page, zeros) = (file.page(index), [0; PAGE_BYTES]);
        let tail = zeros.get(from..).unwrap_or_default();
        let mut after = After::default();
        let cut = self.turn(number_of(page.extent()), None, &mut after, |turn| {
            let mapped = turn.is_mapped(page, Mode::Write);
            mapped && file.touch(page, |frame| frame.part(from, tail.len())?.write_from(tail)).is_some()
        });
        match cut {
            Some(true) => done(Ok(())),
            _ => self.write(file, offset, tail.to_vec(), done),
        }
    }

    fn access(
        self: &Arc<Self>,
        file: &Arc<File>,
        mode: Mode,
        offset: u64,
        bytes: Vec<u8>,
        done: super::access::AccessDone,
    ) {
        if bytes.is_empty() {
            return done(Ok(bytes));
        }
        let range = page_range(offset, bytes.len() as u64);
        let range = range.filter(|(first, last)| u64::from(last - first) < ACCESS_PAGES_MAX);
        let Some((first, last)) = range else { return done(Err(PageFault::Range)) };
        let pages = last - first + 1;
        let access = Access::new(file, mode, offset, bytes, pages, done);
        let ahead = if mode == Mode::Read { file.ahead.lock().read(first, pages) } else { None };
        self.when_open(move |pages| pages.begin(&access, first, last));
        self.fetch_ahead(file, ahead, Mode::Read);
    }

    pub(super) fn begin(self: &Arc<Self>, access: &Arc<Access>, first: u32, last: u32) {
        let mut after = After::default();
        let mut at = Some(first);
        while let Some(page) = at.filter(|page| *page <= last) {
            let (page, count) = access.file.chunk(page, last);
            self.ask(access, page, count, &mut after);
            at = page.index.checked_add(count);
        }
        if access.is_last_part() {
            after.finished.push(Arc::clone(access));
        }
        self.finish(after);
    }

    /// Asks for pages of an access that follow each other in one extent. What is here and free to be used is done at once.
    pub(super) fn ask(self: &Arc<Self>, access: &Arc<Access>, first: PageId, count: u32, after: &mut After) {
        let file = &access.file;
        let fits = |page: PageId| {
            (!self.is_crowded_for(page, access.mode) || self.has_to_write(file, page))
                && file.memory().populate(u64::from(page.index)).is_ok()
        };
        let granted = (0..count).find(|n| !first.ahead(*n).is_some_and(fits)).unwrap_or(count);
        self.turn(number_of(first.extent()), None, after, |turn| turn.ask(access, first, granted));
        for n in granted..count {
            self.wait_for_memory(access, first.index + n, after);
        }
    }

    fn wait_for_memory(self: &Arc<Self>, access: &Arc<Access>, page: u32, after: &mut After) {
        let (waiting, access) = (Arc::clone(access), Arc::clone(access));
        let wanted = (access.file.chunk(page, page).0, access.mode);
        let again = move |pages: &Arc<Self>, room: bool| {
            let mut after = After::default();
            if room {
                let (page, _) = waiting.file.chunk(page, page);
                pages.ask(&waiting, page, 1, &mut after);
            } else {
                waiting.fail(PageFault::Full);
                if waiting.is_last_part() {
                    after.finished.push(waiting);
                }
            }
            pages.finish(after);
        };
        if !self.evicting.park(wanted, Box::new(again)) {
            access.fail(PageFault::Full);
            if access.is_last_part() {
                after.finished.push(access);
            }
        }
    }

    /// Asks for a page for the kernel. One that it has already is given at once, whatever else is under way: the kernel may be
    /// waiting for this answer before it lets go of the page.
    pub(super) fn ask_map(self: &Arc<Self>, read: MapRead, after: &mut After) {
        let (page, _) = read.file.chunk(read.page, read.page);
        let mode = if read.file.has_writers() { Mode::Write } else { Mode::Read };
        let (memory, index) = (read.file.memory(), u64::from(read.page));
        let fits = (!self.is_crowded_for(page, mode) || self.has_to_write(&read.file, page))
            && memory.populate(index).is_ok();
        if !fits {
            let full = self.evicting.park_map((page, mode), read);
            return full.into_iter().for_each(|read| (read.done)(Err(PageFault::Full)));
        }
        self.turn(number_of(page.extent()), None, after, |turn| turn.ask_map(page, read));
    }

    /// Whether pages may be fetched that nobody waits for.
    pub(super) fn may_prefetch(&self) -> bool {
        self.gate.is_open() && !self.evicting.is_short() && !self.is_crowded()
    }

    pub(super) fn fetch_ahead(self: &Arc<Self>, file: &Arc<File>, run: Option<(u32, u32)>, mode: Mode) {
        let Some((first, pages)) = run else { return };
        if !self.may_prefetch() {
            return;
        }
        let last = first.saturating_add(pages - 1).min(file.last_page());
        let mut after = After::default();
        let mut at = Some(first);
        while let Some(page) = at.filter(|page| *page <= last) {
            let (page, count) = file.chunk(page, last);
            let room = (0..count).all(|n| file.memory().try_populate(u64::from(page.index + n)).is_ok());
            if !room {
                break;
            }
            self.turn(number_of(page.extent()), None, &mut after, |turn| turn.fetch_ahead(page, count, mode));
            at = page.index.checked_add(count);
        }
        self.finish(after);
    }
}

impl Turn<'_> {
    /// Whether the kernel's cache may have the page in this way.
    fn is_mapped(&self, page: PageId, mode: Mode) -> bool {
        let mappers = self.engine().and_then(|engine| engine.page(page)).map(|page| page.mappers);
        mappers.is_some_and(|all| all.iter().any(|(mapper, held)| *mapper == MapperId::FILE && *held >= mode))
    }

    fn ask(&mut self, access: &Arc<Access>, first: PageId, count: u32) {
        let mut run: Vec<PageId> = Vec::new();
        for page in (0..count).filter_map(|n| first.ahead(n)) {
            let Some(engine) = self.engine() else {
                access.fail(PageFault::Ended);
                if access.is_last_part() {
                    self.after.finished.push(Arc::clone(access));
                }
                continue;
            };
            if engine.is_open(page, MapperId::DIRECT, access.mode) {
                self.access(page, access);
            } else if !access.file.is_current(page)
                || !access.file.memory().is_resident(u64::from(page.index))
            {
                self.after.again.push((Arc::clone(access), page.index));
            } else {
                run.push(page);
            }
        }
        let follows = |a: &PageId, b: &PageId| a.ahead(1) == Some(*b);
        for run in run.chunk_by(follows).flat_map(|run| run.chunks(usize::from(RUN_PAGES_MAX))) {
            self.fault_run(run, access);
        }
    }

    /// The first fault asks for the whole run, in one message; the others wait for what it brings.
    fn fault_run(&mut self, run: &[PageId], access: &Arc<Access>) {
        self.pages.metrics.faults.add(run.len() as u64);
        for (n, page) in run.iter().enumerate() {
            let token = self.shard.waiting.put(Waiting::Access(Arc::clone(access)));
            self.input(Input::Fault(Fault {
                page: *page,
                mapper: MapperId::DIRECT,
                mode: access.mode,
                fresh: access.covers(page.index),
                run: if n == 0 { run.len() as u16 } else { 1 },
                token,
            }));
        }
    }

    fn ask_map(&mut self, page: PageId, read: MapRead) {
        if self.engine().is_none() {
            return (read.done)(Err(PageFault::Ended));
        }
        if self.is_mapped(page, Mode::Read) {
            if let Some(asked_again) = self.shard.dropping.get_mut(&page) {
                *asked_again = true;
            }
            self.answer(page, read);
        } else if !read.file.is_current(page) || !read.file.memory().is_resident(u64::from(page.index)) {
            self.after.read_again.push(read);
        } else {
            let mode = if read.file.has_writers() { Mode::Write } else { Mode::Read };
            self.pages.metrics.faults.increment();
            let token = self.shard.waiting.put(Waiting::Map(read));
            self.input(Input::Fault(Fault {
                page,
                mapper: MapperId::FILE,
                mode,
                fresh: false,
                run: 1,
                token,
            }));
            // Not answered yet, so it depends on others.
            if let Some(Waiting::Map(read)) = self.shard.waiting.get_mut(token) {
                read.local = false;
            }
        }
    }

    fn fetch_ahead(&mut self, first: PageId, count: u32, mode: Mode) {
        let Some(engine) = self.engine() else { return };
        let missing = |page: &PageId| engine.page(*page).is_none();
        let pages: Vec<_> = (0..count).filter_map(|n| first.ahead(n)).filter(missing).collect();
        let follows = |a: &PageId, b: &PageId| a.ahead(1) == Some(*b);
        for run in pages.chunk_by(follows).flat_map(|run| run.chunks(usize::from(RUN_PAGES_MAX))) {
            let Some(page) = run.first().copied() else { continue };
            self.pages.metrics.pages_ahead.add(run.len() as u64);
            let token = self.shard.waiting.put(Waiting::Nobody);
            self.input(Input::Fault(Fault {
                page,
                mapper: MapperId::DIRECT,
                mode,
                fresh: false,
                run: run.len() as u16,
                token,
            }));
        }
    }
}
