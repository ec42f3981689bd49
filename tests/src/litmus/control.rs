//! Memory that the processes of a run share besides the files under test: where they meet before every iteration, what each
//! is doing, and what its registers were.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::program::{REGISTERS_MAX, THREADS_MAX};
use crate::shared::clock::{SLEEPER_LATE_NS, nap, now_ns};
use crate::shared::mapped::{Access, Mapped, Width};

/// Iterations that one round can have.
pub const ROUND_MAX: usize = 1024;
const LINE: usize = 64;
const ARRIVED_AT: usize = 0;
const START_AT: usize = LINE;
/// How many sleep until the start.
const SLEEPERS_AT: usize = 2 * LINE;
/// A line a thread: iteration, instruction.
const DOING_AT: usize = 3 * LINE;
const REGISTERS_AT: usize = DOING_AT + THREADS_MAX * LINE;
const BYTES: usize = REGISTERS_AT + ROUND_MAX * REGISTERS_MAX * 8;
/// From the last arrival to the start: everybody who spins has seen it by then.
const LEAD_NS: u64 = 1_500;
/// Looks at the meeting point before giving up the processor, and before sleeping: those we wait for need it, and so do the
/// daemons that serve them.
const SPINS: u32 = 200;
const YIELDS_END: u32 = SPINS + 30;
const NAP_NS: u64 = 20_000;

#[derive(Debug)]
pub struct Control {
    memory: Mapped,
    /// Keeps the path of `path` alive in the process that made it.
    _file: OwnedFd,
}

impl Control {
    pub fn new() -> io::Result<(Self, PathBuf)> {
        let file = memfd_create("litmus-control", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, BYTES as u64)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok((Self::over(file)?, path.into()))
    }

    pub fn open(path: &Path) -> io::Result<Self> {
        Self::over(File::options().read(true).write(true).open(path)?.into())
    }

    fn over(file: OwnedFd) -> io::Result<Self> {
        Ok(Self { memory: Mapped::shared(&file, BYTES, Access::ReadWrite)?, _file: file })
    }

    /// Forgets the last round.
    pub fn reset(&self) {
        for at in (0..BYTES).step_by(8) {
            self.memory.word(at).store(0, Ordering::SeqCst);
        }
    }

    /// Waits until all threads have come here for this iteration; returns when they may start.
    pub fn meet(&self, threads: u64, iteration: u64) -> u64 {
        let (arrived, start) = (self.memory.word(ARRIVED_AT), self.memory.word(START_AT));
        let sleepers = self.memory.word(SLEEPERS_AT);
        let before = start.load(Ordering::Acquire);
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 == threads * (iteration + 1) {
            let sleep = sleepers.swap(0, Ordering::AcqRel) > 0;
            let at_ns = now_ns() + if sleep { SLEEPER_LATE_NS } else { LEAD_NS };
            start.store(at_ns, Ordering::Release);
            return at_ns;
        }
        let mut looks = 0;
        loop {
            let at_ns = start.load(Ordering::Acquire);
            if at_ns != before {
                return at_ns;
            }
            looks += 1;
            match looks {
                0..SPINS => std::hint::spin_loop(),
                SPINS..YIELDS_END => std::thread::yield_now(),
                _ => {
                    if looks == YIELDS_END {
                        sleepers.fetch_add(1, Ordering::AcqRel);
                    }
                    nap(NAP_NS);
                }
            }
        }
    }

    /// What a thread is about to do, for whoever finds it hanging.
    pub fn doing(&self, thread: usize, iteration: usize, op: usize) {
        let at = DOING_AT + thread * LINE;
        self.memory.store(at, Width::Eight, (iteration as u64) << 8 | op as u64);
    }

    pub fn was_doing(&self, thread: usize) -> (usize, usize) {
        let word = self.memory.load(DOING_AT + thread * LINE, Width::Eight);
        ((word >> 8) as usize, (word & 0xff) as usize)
    }

    pub fn set_register(&self, iteration: usize, register: usize, value: u64) {
        self.memory.store(Self::register_at(iteration, register), Width::Eight, value);
    }

    pub fn register(&self, iteration: usize, register: usize) -> u64 {
        self.memory.load(Self::register_at(iteration, register), Width::Eight)
    }

    fn register_at(iteration: usize, register: usize) -> usize {
        REGISTERS_AT + (iteration * REGISTERS_MAX + register) * 8
    }
}
