//! A file of a mount in memory, for Rust programs without `unsafe`.

#![allow(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use crate::attach::Why;
use crate::error::Error;
use crate::locks::{self, Mode};
use crate::mapping::{self, Part};
use crate::memory;
use crate::registry::Mapping;
use crate::sync::{self, Woken};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

impl Access {
    fn protection(self) -> i32 {
        match self {
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

/// A mapped file. Other threads, processes and nodes change its bytes at any moment, so they are copied in and out or used as atomics.
///
/// An access to what the cluster has lost (a page whose only node died) or to what was cut off the file ends the process by SIGBUS, as with
/// any mapped file.
#[derive(Debug)]
pub struct Segment {
    mapping: Arc<Mapping>,
}

impl Segment {
    /// The whole file at the address that it has in the whole cluster.
    pub fn map(path: impl AsRef<Path>, access: Access) -> Result<Self, Error> {
        mapping::map(path.as_ref(), access.protection()).map(|mapping| Self { mapping })
    }

    /// The whole file wherever there is room, for data without pointers.
    pub fn map_anywhere(path: impl AsRef<Path>, access: Access) -> Result<Self, Error> {
        let part = Part { address: None, offset: 0, length: None };
        mapping::map_at(path.as_ref(), access.protection(), part).map(|mapping| Self { mapping })
    }

    pub fn address(&self) -> usize {
        self.mapping.address
    }

    /// What was mapped: the size that the file had then.
    pub fn length(&self) -> usize {
        self.mapping.length
    }

    /// For pointers into it; using them is up to you. Valid as long as the segment is.
    pub fn as_ptr(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.mapping.address)
    }

    /// Why it takes the kernel's way, which is slower and just as coherent; nothing if it doesn't.
    pub fn by_kernel(&self) -> Option<Why> {
        self.mapping.by_kernel()
    }

    pub fn word(&self, offset: usize) -> Result<&AtomicU32, Error> {
        self.writable()?;
        memory::word(&self.mapping, offset)
    }

    pub fn long_word(&self, offset: usize) -> Result<&AtomicU64, Error> {
        self.writable()?;
        memory::long_word(&self.mapping, offset)
    }

    /// A reference to an atomic lets safe code store.
    fn writable(&self) -> Result<(), Error> {
        if self.mapping.writable() { Ok(()) } else { Err(Error::Protection) }
    }

    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        memory::read(&self.mapping, offset, bytes)
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        memory::write(&self.mapping, offset, bytes)
    }

    /// Waits for the lock; it is let go of when the guard is dropped.
    pub fn lock(&self, offset: usize, length: usize, mode: Mode) -> Result<Guard<'_>, Error> {
        self.locked(offset, length, mode, true)
    }

    /// [`Error::Locked`] if somebody else has it.
    pub fn try_lock(&self, offset: usize, length: usize, mode: Mode) -> Result<Guard<'_>, Error> {
        self.locked(offset, length, mode, false)
    }

    fn locked(&self, offset: usize, length: usize, mode: Mode, wait: bool) -> Result<Guard<'_>, Error> {
        let address = self.at(offset);
        locks::lock(address, length, mode, wait)?;
        Ok(Guard { _segment: self, address, length, mode })
    }

    /// Sleeps until somebody notifies the word of four bytes, if it has that value.
    pub fn wait(&self, offset: usize, expected: u32, timeout: Option<Duration>) -> Result<Woken, Error> {
        self.waited(offset, expected.into(), size_of::<u32>(), timeout)
    }

    /// The same for a word of eight bytes.
    pub fn wait_long(&self, offset: usize, expected: u64, timeout: Option<Duration>) -> Result<Woken, Error> {
        self.waited(offset, expected, size_of::<u64>(), timeout)
    }

    fn waited(
        &self,
        offset: usize,
        expected: u64,
        width: usize,
        timeout: Option<Duration>,
    ) -> Result<Woken, Error> {
        match sync::wait(self.at(offset), expected, width, timeout) {
            Ok(()) => Ok(Woken::Notified),
            Err(Error::OtherValue) => Ok(Woken::OtherValue),
            Err(Error::TimedOut) => Ok(Woken::TimedOut),
            Err(Error::Interrupted) => Ok(Woken::Interrupted),
            Err(error) => Err(error),
        }
    }

    /// Wakes so many of those who wait for the word, at most; gives how many.
    pub fn notify(&self, offset: usize, count: u32) -> Result<u32, Error> {
        sync::notify(self.at(offset), count)
    }

    /// Has pages brought to this node, without waiting for them.
    pub fn prefetch(&self, offset: usize, length: usize, mode: Mode) -> Result<(), Error> {
        sync::prefetch(self.at(offset), length, mode)
    }

    fn at(&self, offset: usize) -> usize {
        self.mapping.address.saturating_add(offset)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: references to its memory have ended with it.
        // It fails only when somebody has taken it away by its address already.
        let _ = unsafe { mapping::unmap(self.mapping.address) };
    }
}

/// A lock on a range of a segment.
#[derive(Debug)]
pub struct Guard<'s> {
    _segment: &'s Segment,
    address: usize,
    length: usize,
    mode: Mode,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A node that is gone has let go of it.
        let _ = locks::unlock(self.address, self.length, self.mode);
    }
}
