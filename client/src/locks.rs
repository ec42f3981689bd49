//! Locks on ranges of mapped memory: those that fcntl(2) gives on the file, cluster-wide, each on an open file description of its own. So
//! two threads of one process exclude each other as two nodes do, and any thread may let go of a lock.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::registry::{Held, Mapping, registry};
use crate::sys::{self, Kind};

/// More open descriptors than that are not kept for the next lock of a process.
const SPARE_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Others may read at the same time.
    Read,
    /// Nobody else.
    Write,
}

impl From<Mode> for Kind {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Read => Self::Read,
            Mode::Write => Self::Write,
        }
    }
}

/// Waits for the lock, if it may.
pub(crate) fn lock(address: usize, length: usize, mode: Mode, wait: bool) -> Result<(), Error> {
    if length == 0 {
        return Err(Error::NoLength);
    }
    let (mapping, spare) = {
        let mut registry = registry();
        let mapping = registry.around(address, length)?;
        let spare = registry.spare.iter().position(|(of, _)| *of == mapping.address);
        (mapping, spare.map(|at| registry.spare.swap_remove(at).1))
    };
    if mode == Mode::Write && !mapping.writable() {
        return Err(Error::LockReadOnly);
    }
    let file = spare.map_or_else(|| reopen(&mapping), Ok)?;
    let offset = mapping.offset + (address - mapping.address) as u64;
    sys::set_lock(file.as_fd(), mode.into(), offset, length, wait).map_err(|errno| match errno {
        Errno::AGAIN | Errno::ACCESS if !wait => Error::Locked,
        Errno::INTR => Error::Interrupted,
        errno => Error::Lock { errno },
    })?;
    registry().held.push(Held { address, length, mode, offset, mapping: mapping.address, file });
    fence(Ordering::SeqCst);
    Ok(())
}

/// Lets go of a lock that was got with the same range and mode.
pub(crate) fn unlock(address: usize, length: usize, mode: Mode) -> Result<(), Error> {
    fence(Ordering::SeqCst);
    let held = {
        let mut registry = registry();
        let same = |held: &Held| (held.address, held.length, held.mode) == (address, length, mode);
        let at = registry.held.iter().position(same).ok_or(Error::NotLocked)?;
        registry.held.swap_remove(at)
    };
    // Not by closing alone: a child may have a copy of the descriptor.
    sys::set_lock(held.file.as_fd(), Kind::Unlock, held.offset, held.length, false)
        .map_err(|errno| Error::Lock { errno })?;
    let mut registry = registry();
    if registry.spare.len() < SPARE_MAX && registry.mappings.contains_key(&held.mapping) {
        registry.spare.push((held.mapping, held.file));
    }
    Ok(())
}

/// The same file with an open file description of its own, whatever its name is by now.
fn reopen(mapping: &Mapping) -> Result<OwnedFd, Error> {
    let access = if mapping.writable() { OFlags::RDWR } else { OFlags::RDONLY };
    let path = format!("/proc/self/fd/{}", mapping.file.as_raw_fd());
    rustix::fs::open(path, access | OFlags::CLOEXEC, FileMode::empty())
        .map_err(|errno| Error::Open { path: mapping.path.clone(), errno })
}
