//! One node of the floor: the pages of one file, which of them are here, and one lock. No directory: what is not here is at
//! the other side.
//!
//! It is for one thread of load. A request holds all of a side while it asks the other, so two that ask each other at once
//! would wait for ever.

use std::io;
use std::ops::Range;
use std::sync::OnceLock;

use parking_lot::Mutex;
use scifs::fuse::kernel::Notifier;

use super::link::Link;
use crate::sweep::PAGE_BYTES;
use crate::wire::{Ask, Gives, bytes_of};

/// The inode of the only file.
pub(super) const FILE: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    Nothing,
    /// Both sides may have it.
    Shared,
    /// Only this side has it.
    Alone,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    held: Held,
    /// The kernel has been given it for a mapping.
    cached: bool,
}

pub(super) struct Side {
    inner: Mutex<Inner>,
    // Both are known a moment after the mount exists, and before anybody uses it.
    pub(super) link: OnceLock<Link>,
    pub(super) notifier: OnceLock<Notifier>,
}

struct Inner {
    pages: Vec<Page>,
    bytes: Vec<u8>,
    /// Open files that may write.
    writers: usize,
    lock: bool,
}

fn unready() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl Side {
    /// In the beginning the first side has everything.
    pub(super) fn new(pages: usize, first: bool) -> Self {
        let held = if first { Held::Alone } else { Held::Nothing };
        let inner = Inner {
            pages: vec![Page { held, cached: false }; pages],
            bytes: vec![0; pages * PAGE_BYTES],
            writers: 0,
            lock: first,
        };
        Self { inner: Mutex::new(inner), link: OnceLock::new(), notifier: OnceLock::new() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.inner.lock().bytes.len() as u64
    }

    pub(super) fn opened(&self) {
        self.inner.lock().writers += 1;
    }

    pub(super) fn closed(&self) {
        self.inner.lock().writers -= 1;
    }

    /// Shows the bytes to `answer`, once they are here. What goes to the kernel's cache while somebody may write is had alone,
    /// since the kernel tells nobody when a mapped page is stored to.
    pub(super) fn read(
        &self,
        bytes: Range<usize>,
        from_cache: bool,
        answer: impl FnOnce(&[u8]),
    ) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let bytes = bytes.start.min(inner.bytes.len())..bytes.end.min(inner.bytes.len());
        let run = bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES);
        let wanted = if from_cache && inner.writers > 0 { Held::Alone } else { Held::Shared };
        self.hold(&mut inner, run.clone(), wanted)?;
        if from_cache {
            inner.pages.get_mut(run).into_iter().flatten().for_each(|page| page.cached = true);
        }
        answer(inner.bytes.get(bytes).unwrap_or_default());
        Ok(())
    }

    /// write(2), or the kernel's writing back of pages that are here alone anyway.
    pub(super) fn write(&self, offset: usize, data: &[u8], from_cache: bool) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let end = offset.saturating_add(data.len());
        if !from_cache {
            self.hold(&mut inner, offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES), Held::Alone)?;
        }
        inner.bytes.get_mut(offset..end).ok_or(io::ErrorKind::FileTooLarge)?.copy_from_slice(data);
        Ok(())
    }

    pub(super) fn lock(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if !inner.lock {
            self.link.get().ok_or_else(unready)?.ask(Ask::Lock, &(0..0), &mut [])?;
            inner.lock = true;
        }
        Ok(())
    }

    /// Asks for whatever of the run isn't held like that yet, in as few requests as that takes.
    fn hold(&self, inner: &mut Inner, run: Range<usize>, wanted: Held) -> io::Result<()> {
        let mut next = run.start;
        while next < run.end {
            let rest = inner.pages.get(next..run.end).ok_or(io::ErrorKind::FileTooLarge)?;
            let Some(first) = rest.first() else { break };
            let held = first.held;
            let same = rest.iter().take_while(|page| page.held == held).count();
            if held < wanted {
                self.fetch(inner, next..next + same, held, wanted)?;
            }
            next += same;
        }
        Ok(())
    }

    fn fetch(&self, inner: &mut Inner, run: Range<usize>, held: Held, wanted: Held) -> io::Result<()> {
        let ask = match (held, wanted) {
            (Held::Nothing, Held::Shared) => Ask::Share,
            (Held::Nothing, _) => Ask::Take,
            _ => Ask::Upgrade,
        };
        let into = inner.bytes.get_mut(bytes_of(&run)).unwrap_or_default();
        let into = if ask.carries_pages() { into } else { &mut [] };
        self.link.get().ok_or_else(unready)?.ask(ask, &run, into)?;
        inner.pages.get_mut(run).into_iter().flatten().for_each(|page| page.held = wanted);
        Ok(())
    }

    /// Whether the kernel has to drop something first. What is shared may stay where it is when another copy is made.
    fn is_cached(&self, ask: Ask, run: &Range<usize>) -> bool {
        let inner = self.inner.lock();
        let mut pages = inner.pages.get(run.clone()).into_iter().flatten();
        pages.any(|page| page.cached && (ask != Ask::Share || page.held == Held::Alone))
    }
}

impl Gives for Side {
    fn give(
        &self,
        ask: Ask,
        run: Range<usize>,
        send: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if ask == Ask::Lock {
            self.inner.lock().lock = false;
            return send(&[]);
        }
        if self.is_cached(ask, &run) {
            // Not under the lock: the kernel writes dirty pages back before this returns.
            let notifier = self.notifier.get().ok_or_else(unready)?;
            let range = bytes_of(&run);
            notifier.inval_inode(FILE, range.start as u64, range.len() as u64)?;
        }
        let mut inner = self.inner.lock();
        let held = if ask == Ask::Share { Held::Shared } else { Held::Nothing };
        inner
            .pages
            .get_mut(run.clone())
            .into_iter()
            .flatten()
            .for_each(|page| *page = Page { held, cached: false });
        send(if ask.carries_pages() { inner.bytes.get(bytes_of(&run)).unwrap_or_default() } else { &[] })
    }
}
