//! A file's words by pointer, while the other mount's are written.
//!
//! The only unsafe code of the comparisons. Accesses are atomics of 8 bytes, single instructions on every 64-bit machine; no
//! reference into the memory leaves this file.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::mount::workload::PAGE_BYTES;

const WORD_BYTES: usize = size_of::<u64>();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadWrite,
}

/// A shared mapping of a file's first pages; undone when dropped.
pub(super) struct Mapped {
    base: NonNull<u8>,
    pages: usize,
    access: Access,
}

impl Mapped {
    pub(super) fn new(file: &File, pages: usize, access: Access) -> io::Result<Self> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: a new mapping at an address that the kernel chooses disturbs nothing that exists.
        let base =
            unsafe { mmap(std::ptr::null_mut(), pages * PAGE_BYTES, protection, MapFlags::SHARED, file, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { base, pages, access })
    }

    /// The first word of a page.
    pub(super) fn load(&self, page: usize) -> u64 {
        self.word(page, 0).load(Ordering::Relaxed)
    }

    /// Stores the first word of a page and returns what was there: one access, so one fault, and it shows whether what was
    /// stored on the other mount has come along.
    pub(super) fn swap(&self, page: usize, value: u64) -> u64 {
        assert_eq!(self.access, Access::ReadWrite, "this mapping is for reading only");
        self.word(page, 0).swap(value, Ordering::Relaxed)
    }

    /// Reads all of a page: its first word, and the sum of all.
    pub(super) fn read(&self, page: usize) -> (u64, u64) {
        let word = |index| self.word(page, index).load(Ordering::Relaxed);
        (word(0), (0..PAGE_BYTES / WORD_BYTES).fold(0, |sum: u64, index| sum.wrapping_add(word(index))))
    }

    fn word(&self, page: usize, index: usize) -> &AtomicU64 {
        assert!(page < self.pages && index < PAGE_BYTES / WORD_BYTES, "page {page} of {}", self.pages);
        // SAFETY: inside the mapping, as was just checked, so aligned as well; it lives as long as `self`, which the
        // result borrows. Nobody in this process accesses it otherwise than by atomics, and a mapping for reading is only
        // loaded from.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(page * PAGE_BYTES + index * WORD_BYTES).cast()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nothing borrows from it any more.
        let undone = unsafe { munmap(self.base.as_ptr().cast(), self.pages * PAGE_BYTES) };
        debug_assert!(undone.is_ok(), "the whole of an own mapping can be undone");
    }
}
