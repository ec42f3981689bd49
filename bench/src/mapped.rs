//! A file's words by pointer, while others write them.
//!
//! Accesses are atomics of 8 bytes, single instructions on every 64-bit machine; no other reference into the memory leaves
//! this file.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::sweep::{PAGE_BYTES, WORD_BYTES, WORDS, Words};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// A shared mapping of a file's first pages; undone when dropped.
pub(crate) struct Mapped {
    base: NonNull<u8>,
    pages: usize,
    access: Access,
}

// SAFETY: the memory belongs to no thread, and is only accessed by atomics.
unsafe impl Send for Mapped {}
// SAFETY: the same.
unsafe impl Sync for Mapped {}

impl Mapped {
    pub(crate) fn new(file: &File, pages: usize, access: Access) -> io::Result<Self> {
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

    /// Where it begins.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }
}

impl Words for Mapped {
    fn word(&self, page: usize, index: usize) -> &AtomicU64 {
        assert!(page < self.pages && index < WORDS, "page {page} of {}", self.pages);
        // SAFETY: inside the mapping, as was just checked, so aligned as well; it lives as long as `self`, which the
        // result borrows. Nobody in this process accesses it otherwise than by atomics, and a mapping for reading is only
        // loaded from.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(page * PAGE_BYTES + index * WORD_BYTES).cast()) }
    }

    fn swap(&self, page: usize, value: u64) -> u64 {
        assert_eq!(self.access, Access::ReadWrite, "this mapping is for reading only");
        self.word(page, 0).swap(value, Ordering::Relaxed)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nothing borrows from it any more.
        let undone = unsafe { munmap(self.base.as_ptr().cast(), self.pages * PAGE_BYTES) };
        debug_assert!(undone.is_ok(), "the whole of an own mapping can be undone");
    }
}
