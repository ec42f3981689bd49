//! One node of the floor, and the program on it: the memory of one file, which of its pages are here, and a thread that serves their
//! faults. No directory: what is not here is at the other side.
//!
//! It is for sweeps that don't meet: while one side uses a page, the other leaves it alone.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::userfault::{Fault, Userfault};
use crate::mapped::Mapped;
use crate::sweep::{PAGE_BYTES, WORD_BYTES, Words};
use crate::wire::{self, Ask, Gives, Socket};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    /// Both sides may have it; not to be stored to.
    Shared,
    /// Only this side has it.
    Alone,
}

pub(crate) struct Side {
    file: File,
    mapped: Mapped,
    faults: Userfault,
    held: Mutex<Vec<Held>>,
    spin: Duration,
}

impl Side {
    pub(super) fn new(
        file: File,
        mapped: Mapped,
        faults: Userfault,
        held: Vec<Held>,
        spin: Duration,
    ) -> Self {
        Self { file, mapped, faults, held: Mutex::new(held), spin }
    }

    /// For the program.
    pub(crate) fn memory(&self) -> &Mapped {
        &self.mapped
    }

    /// Serves faults, one after the other.
    pub(super) fn serve(&self, link: &Socket) -> io::Result<()> {
        let mut bytes = [0; PAGE_BYTES];
        loop {
            let Fault { page, write } = self.next()?;
            let held = self.held.lock().get(page).copied().unwrap_or(Held::Nothing);
            let mut ask = |ask: Ask| {
                let into = if ask.carries_pages() { &mut bytes[..] } else { &mut [] };
                wire::ask(link, ask, &(page..page + 1), into)
            };
            let now = if write { Held::Alone } else { Held::Shared };
            match (held, write) {
                (Held::Alone, _) => {
                    self.faults.map(page)?;
                    continue;
                }
                (Held::Shared, true) => {
                    ask(Ask::Upgrade)?;
                    self.faults.protect(page, true)?;
                }
                // Another thread has asked for it, and has woken this one.
                (Held::Shared, false) => {}
                (Held::Nothing, _) => {
                    ask(if write { Ask::Take } else { Ask::Share })?;
                    self.faults.fill(page, &bytes, write)?;
                }
            }
            self.hold(page, now);
        }
    }

    /// Polls for a while, in which other threads may run, then blocks; as the sockets do.
    fn next(&self) -> io::Result<Fault> {
        let begun = Instant::now();
        loop {
            match self.faults.next() {
                Ok(fault) => return Ok(fault),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if begun.elapsed() < self.spin => std::thread::yield_now(),
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&self.faults.file().as_fd(), PollFlags::IN)], None)?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn hold(&self, page: usize, now: Held) {
        if let Some(held) = self.held.lock().get_mut(page) {
            *held = now;
        }
    }

    fn copy(&self, page: usize) -> [u8; PAGE_BYTES] {
        let mut bytes = [0; PAGE_BYTES];
        for (index, chunk) in bytes.chunks_exact_mut(WORD_BYTES).enumerate() {
            chunk.copy_from_slice(&self.mapped.word(page, index).load(Ordering::Relaxed).to_ne_bytes());
        }
        bytes
    }

    /// Takes a page out of the file, and so out of the mapping.
    fn punch(&self, page: usize) -> Result<(), Errno> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, hole, (page * PAGE_BYTES) as u64, PAGE_BYTES as u64)
    }

    fn give_page(&self, ask: Ask, page: usize, send: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match ask {
            Ask::Share => {
                self.faults.protect(page, false)?;
                self.hold(page, Held::Shared);
                send(&self.copy(page))
            }
            Ask::Take => {
                self.faults.protect(page, false)?;
                let bytes = self.copy(page);
                self.hold(page, Held::Nothing);
                self.punch(page)?;
                send(&bytes)
            }
            Ask::Upgrade => {
                self.hold(page, Held::Nothing);
                self.punch(page)?;
                send(&[])
            }
            Ask::Lock => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Gives for Side {
    /// A fault asks for one page.
    fn give(
        &self,
        ask: Ask,
        run: Range<usize>,
        send: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.give_page(ask, run.start, send)
    }
}
