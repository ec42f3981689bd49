//! One attached process: its userfaultfd, and what is known of its mappings.
//!
//! A lock goes around "read what happened and take note of it", and around every change of the process's page tables. So nobody
//! acts on a mapping that is known to be gone; and while something has happened that was not read yet, the kernel answers EAGAIN
//! to every change.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::io::Errno;
use scios::limits::PAGE_BYTES;

use super::limits::{POISONED_MAX, RANGES_MAX};
use super::presence::Presence;
use super::proc_maps;
use super::ranges::{Place, Ranges};
use super::streak::Streak;
use super::uffd::{Event, PageFault, Span, Userfault};
use crate::fuse::files::KeptOpen;
use crate::node::File;

const PAGE: u64 = PAGE_BYTES as u64;

/// A file that the process may map. It isn't deleted as long as some process has this.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) file: Arc<File>,
    pub(super) _open: Arc<KeptOpen>,
}

#[derive(Clone, Debug)]
struct Mappable {
    shared: Shared,
    /// Mappings that were announced and not made.
    announced: u32,
}

#[derive(Default)]
struct State {
    ranges: Ranges,
    presence: Presence,
    files: HashMap<u64, Mappable>,
    streak: Streak,
    /// Addresses of pages that couldn't be had.
    poisoned: BTreeSet<u64>,
}

pub(super) struct Process {
    pub(super) number: u64,
    uffd: Userfault,
    /// One of its threads, in this process's numbering if that is the same; 0 when none is known.
    thread: AtomicU32,
    state: Mutex<State>,
    gone: AtomicBool,
    /// Since when it gets no page, in milliseconds after `born`; 0 if the last was given.
    in_vain_ms: AtomicU64,
    born: Instant,
}

/// What became of a page that was to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Done,
    /// There is no frame.
    NoFrame,
    /// Something has happened that has to be read first.
    Again,
    /// Another page, or nothing, is mapped there by now.
    Moved,
    Gone,
}

/// What reading brought up.
#[derive(Default)]
pub(super) struct News {
    pub(super) faults: Vec<PageFault>,
    pub(super) children: Vec<Arc<Process>>,
    /// Files that the process has no mapping of any more.
    pub(super) left: Vec<u64>,
}

impl Process {
    pub(super) fn new(number: u64, uffd: Userfault, thread: u32) -> Arc<Self> {
        Self::with(number, uffd, thread, State::default())
    }

    fn with(number: u64, uffd: Userfault, thread: u32, state: State) -> Arc<Self> {
        Arc::new(Self {
            number,
            uffd,
            thread: AtomicU32::new(thread),
            state: Mutex::new(state),
            gone: AtomicBool::new(false),
            in_vain_ms: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    /// Whether its memory still exists.
    pub(super) fn is_alive(&self) -> bool {
        self.uffd.is_alive()
    }

    /// It was given up: nothing of it counts any more. Returns its files.
    pub(super) fn end(&self) -> Vec<u64> {
        self.gone.store(true, Ordering::Release);
        let state = std::mem::take(&mut *self.state.lock());
        state.files.keys().copied().collect()
    }

    /// Takes note of what has happened. `number` names the children that it has got; what `tell` is given, it has to take note of
    /// before anybody changes the page tables of this process.
    pub(super) fn read(&self, number: impl Fn() -> u64, tell: impl FnOnce(News)) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let mut news = News::default();
        let mut events = Vec::new();
        let mut result = Ok(true);
        while result == Ok(true) {
            result = self.uffd.read(&mut events);
            for event in events.drain(..) {
                self.note(&mut state, event, &number, &mut news);
            }
        }
        tell(news);
        result.map(drop)
    }

    fn note(&self, state: &mut State, event: Event, number: &impl Fn() -> u64, news: &mut News) {
        match event {
            Event::Fault(fault) => news.faults.push(fault),
            Event::Fork(uffd) => {
                let child = State {
                    ranges: state.ranges.clone(),
                    presence: state.presence.clone(),
                    files: state.mapped_files(),
                    streak: Streak::default(),
                    poisoned: state.poisoned.clone(),
                };
                news.children.push(Self::with(number(), uffd, 0, child));
            }
            Event::Remap { from, to, bytes } => {
                let gone = state.ranges.relocate(from, to, bytes);
                let moved: Vec<u64> =
                    state.poisoned.range(from..from.saturating_add(bytes)).copied().collect();
                for at in moved {
                    state.poisoned.remove(&at);
                    state.poisoned.insert(at - from + to);
                }
                state.leave(&gone, news);
            }
            Event::Unmap { start, end } => {
                let gone = state.ranges.remove(start, end);
                let healed: Vec<u64> = state.poisoned.range(start..end).copied().collect();
                for at in healed {
                    state.poisoned.remove(&at);
                }
                state.leave(&gone, news);
            }
        }
    }

    /// The process may map a file once more. Twice would do, but it may unmap one before it maps the other.
    pub(super) fn announce(&self, shared: Shared) {
        let mut state = self.state.lock();
        let inode = shared.file.inode();
        let mappable = state.files.entry(inode).or_insert(Mappable { shared, announced: 0 });
        mappable.announced = mappable.announced.saturating_add(1);
    }

    /// Serves a range from now on, which the process has mapped and not touched. EAGAIN: something has to be read first.
    pub(super) fn map(&self, span: Span, inode: u64, first_page: u32) -> Result<(), Errno> {
        self.uffd.register(span)?;
        let mut state = self.state.lock();
        if state.ranges.count() >= RANGES_MAX {
            return Err(Errno::NOMEM);
        }
        let mappable = state.files.get_mut(&inode).ok_or(Errno::BADF)?;
        // What was here before may have been unmapped without that having been read: then the range must not be taken for it.
        self.uffd.protect(Span { bytes: PAGE, ..span }, true)?;
        mappable.announced = mappable.announced.saturating_sub(1);
        state.ranges.insert(span.start, span.bytes, inode, first_page);
        Ok(())
    }

    pub(super) fn find(&self, address: u64) -> Option<(Place, Shared)> {
        let state = self.state.lock();
        let place = state.ranges.find(address)?;
        let mappable = state.files.get(&place.inode)?;
        Some((place, mappable.shared.clone()))
    }

    /// The same for a fault that is served now, and how many pages to give it at most.
    pub(super) fn touched(&self, address: u64) -> Option<(Place, Shared, u32)> {
        let mut state = self.state.lock();
        let place = state.ranges.find(address)?;
        let pages = state.streak.touch(place.inode, place.page).min(place.pages);
        let mappable = state.files.get(&place.inode)?;
        Some((place, mappable.shared.clone(), pages))
    }

    /// Looks a mapping up that this node wasn't told of: a range that has grown, or that was mapped twice. EAGAIN as for `map`.
    pub(super) fn learn(&self, fault: &PageFault) -> Result<bool, Errno> {
        let mut state = self.state.lock();
        let thread = match self.thread.load(Ordering::Relaxed) {
            0 => fault.thread,
            thread => thread,
        };
        let Some(found) = proc_maps::find(thread, fault.address) else { return Ok(false) };
        let page = Span { start: fault.address, bytes: PAGE };
        self.uffd.protect(page, true)?;
        let is_it = |mappable: &&Mappable| proc_maps::is(&found, mappable.shared.file.memory().file());
        let Some(inode) = state.files.values().find(is_it).map(|mappable| mappable.shared.file.inode())
        else {
            return Ok(false);
        };
        // Only what nobody knew of: known parts have pages that are known.
        let Ok(first) = u32::try_from(found.offset / PAGE) else { return Ok(false) };
        let unknown = state.ranges.gap(fault.address);
        let (start, end) = (found.start.max(unknown.start), found.end.min(unknown.end));
        let skipped = ((start - found.start) / PAGE) as u32;
        state.ranges.insert(start, end.saturating_sub(start), inode, first.saturating_add(skipped));
        Ok(true)
    }

    /// Maps a page's frame where the process waits for it.
    pub(super) fn give(&self, place: Place, fault: &PageFault, (writable, pages): (bool, u32)) -> Given {
        let mut state = self.state.lock();
        if state.ranges.find(fault.address).is_none_or(|at| (at.inode, at.page) != (place.inode, place.page))
        {
            return if self.gone.load(Ordering::Acquire) { Given::Gone } else { Given::Moved };
        }
        // No further than the range goes on by now.
        let pages = state.ranges.find(fault.address).map_or(1, |at| pages.clamp(1, at.pages));
        let first = Span { start: fault.address, bytes: PAGE };
        let span = Span { bytes: u64::from(pages) * PAGE, ..first };
        (0..pages).for_each(|n| state.presence.add(place.inode, place.page + n));
        let given = if fault.protected && writable {
            self.uffd.protect(span, true)
        } else {
            match self.uffd.map(span, writable) {
                Err(Errno::EXIST) if writable => self.uffd.protect(first, true),
                Err(Errno::EXIST) => self.uffd.wake(first),
                result => result,
            }
        };
        match given {
            Ok(()) => {
                self.in_vain_ms.store(0, Ordering::Relaxed);
                state.poisoned.remove(&fault.address);
                state.streak.mapped(place.inode, place.page, pages);
                Given::Done
            }
            Err(Errno::FAULT) => Given::NoFrame,
            Err(Errno::AGAIN) => Given::Again,
            Err(Errno::SRCH) => Given::Gone,
            Err(_) => Given::Moved,
        }
    }

    /// The process gets SIGBUS for the page, or EFAULT from a system call.
    pub(super) fn poison(&self, address: u64) -> Given {
        let mut state = self.state.lock();
        let span = Span { start: address, bytes: PAGE };
        let mut poisoned = self.uffd.poison(span);
        if poisoned == Err(Errno::EXIST) {
            // What is left of a protected page that was taken away.
            poisoned = self.uffd.protect(span, true).and_then(|()| self.uffd.poison(span));
        }
        match poisoned {
            Ok(()) => {
                if state.poisoned.len() < POISONED_MAX {
                    state.poisoned.insert(address);
                }
                Given::Done
            }
            Err(Errno::AGAIN) => Given::Again,
            Err(Errno::SRCH) => Given::Gone,
            Err(_) => Given::Moved,
        }
    }

    /// Pages that couldn't be had, as faults that happen once more: those of a file from its beginning to `end`, or a few of any.
    pub(super) fn poisoned(&self, file: Option<(u64, u32)>, max: usize) -> Vec<PageFault> {
        let state = self.state.lock();
        let wanted = |address: &&u64| match (file, state.ranges.find(**address)) {
            (Some((inode, end)), Some(place)) => place.inode == inode && place.page < end,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let all = state.poisoned.iter().filter(wanted).take(max);
        all.map(|address| PageFault { address: *address, write: false, protected: false, thread: 0 })
            .collect()
    }

    pub(super) fn wake(&self, address: u64) {
        // Whoever is gone needs no waking.
        let _ = self.uffd.wake(Span { start: address, bytes: PAGE });
    }

    pub(super) fn has(&self, inode: u64, page: u32) -> bool {
        self.state.lock().presence.has(inode, page)
    }

    pub(super) fn forget(&self, inode: u64, page: u32) {
        self.state.lock().presence.remove(inode, page);
    }

    /// Has stores to these pages told from now on. EAGAIN: something has to be read first.
    pub(super) fn protect(&self, inode: u64, first: u32, pages: u32) -> Result<(), Errno> {
        let state = self.state.lock();
        let here: Vec<u32> =
            (first..first.saturating_add(pages)).filter(|page| state.presence.has(inode, *page)).collect();
        for run in here.chunk_by(|a, b| a + 1 == *b) {
            let Some(first) = run.first().copied() else { continue };
            for (start, bytes) in state.ranges.places(inode, first, run.len() as u32) {
                // Whatever else it says: what is gone can't be written to.
                if self.uffd.protect(Span { start, bytes }, false) == Err(Errno::AGAIN) {
                    return Err(Errno::AGAIN);
                }
            }
        }
        Ok(())
    }

    /// How long it has not been given a page that it asked for.
    pub(super) fn in_vain_for(&self) -> Duration {
        let now = (self.born.elapsed().as_millis() as u64).max(1);
        let since = match self.in_vain_ms.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        };
        Duration::from_millis(now.saturating_sub(since))
    }

    pub(super) fn inodes(&self) -> Vec<u64> {
        let state = self.state.lock();
        let mut inodes: Vec<u64> = state.ranges.inodes().collect();
        inodes.sort_unstable();
        inodes.dedup();
        inodes
    }
}

impl State {
    /// What a child may go on using.
    fn mapped_files(&self) -> HashMap<u64, Mappable> {
        let mapped = self.files.iter().filter(|(inode, _)| self.ranges.has(**inode));
        let keep =
            |(inode, mappable): (&u64, &Mappable)| (*inode, Mappable { announced: 0, ..mappable.clone() });
        mapped.map(keep).collect()
    }

    /// Nothing of these files is mapped any more.
    fn leave(&mut self, inodes: &[u64], news: &mut News) {
        for inode in inodes {
            self.presence.forget(*inode);
            if self.files.get(inode).is_some_and(|mappable| mappable.announced == 0) {
                self.files.remove(inode);
                news.left.push(*inode);
            }
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.uffd.as_fd()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("number", &self.number).finish_non_exhaustive()
    }
}
