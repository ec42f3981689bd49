//! A file's bytes by pointer, while other processes write them: single machine accesses of 1, 2, 4 and 8 bytes.
//!
//! Mapped by the C library's mmap, as programs do it: that is what `scifs exec` changes. Accesses are relaxed atomics: on x86
//! each is one plain `mov` (the read-modify-writes are `lock`ed instructions), so what a test sees is what the processor and the
//! mount do, and nothing of the compiler's.
//! No reference into the memory ever leaves this file but to whole words that are only accessed as atomics.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, compiler_fence, fence};

use rustix::mm::{MsyncFlags, msync, munmap};

/// How many bytes one access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    pub fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }

    pub fn of(bytes: usize) -> Option<Self> {
        [Width::One, Width::Two, Width::Four, Width::Eight].into_iter().find(|width| width.bytes() == bytes)
    }
}

/// What a mapping may be used for; decides nothing about the file's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

/// A shared mapping of the first bytes of a file; undone when dropped.
#[derive(Debug)]
pub struct Mapped {
    base: NonNull<u8>,
    bytes: usize,
    access: Access,
}

// SAFETY: the mapping belongs to no thread, and every access to it is atomic.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

/// Runs one atomic operation of the width's type, widening what it returns.
macro_rules! atomically {
    ($self:ident, $at:ident, $width:ident, |$cell:ident, $cast:ident| $operation:expr) => {{
        let pointer = $self.pointer($at, $width.bytes());
        // Program order is part of what is tested: the compiler moves nothing across an access.
        compiler_fence(Ordering::SeqCst);
        let result = match $width {
            Width::One => atomically!(@ AtomicU8, u8, pointer, $cell, $cast, $operation),
            Width::Two => atomically!(@ AtomicU16, u16, pointer, $cell, $cast, $operation),
            Width::Four => atomically!(@ AtomicU32, u32, pointer, $cell, $cast, $operation),
            Width::Eight => atomically!(@ AtomicU64, u64, pointer, $cell, $cast, $operation),
        };
        compiler_fence(Ordering::SeqCst);
        result
    }};
    (@ $atomic:ty, $plain:ty, $pointer:ident, $cell:ident, $cast:ident, $operation:expr) => {{
        // SAFETY: `pointer` checked that the bytes are inside the mapping, which lives as long as `self`, and aligned.
        let $cell = unsafe { <$atomic>::from_ptr($pointer.cast()) };
        // Values of tests are chosen to fit their width; what is too wide is meant to be cut off.
        let $cast = |value: u64| value as $plain;
        u64::from($operation)
    }};
}

impl Mapped {
    pub fn shared(file: impl AsFd, bytes: usize, access: Access) -> io::Result<Self> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let descriptor = file.as_fd().as_raw_fd();
        // SAFETY: a new mapping at an address that the kernel chooses disturbs nothing that exists.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, descriptor, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { base, bytes, access })
    }

    pub fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub fn load(&self, at: usize, width: Width) -> u64 {
        atomically!(self, at, width, |cell, _cast| cell.load(Ordering::Relaxed))
    }

    pub fn store(&self, at: usize, width: Width, value: u64) {
        self.must_write();
        atomically!(self, at, width, |cell, cast| {
            cell.store(cast(value), Ordering::Relaxed);
            0u8
        });
    }

    /// `xchg`: returns what was there.
    pub fn swap(&self, at: usize, width: Width, value: u64) -> u64 {
        self.must_write();
        atomically!(self, at, width, |cell, cast| cell.swap(cast(value), Ordering::SeqCst))
    }

    /// `lock xadd`: returns what was there.
    pub fn add(&self, at: usize, width: Width, value: u64) -> u64 {
        self.must_write();
        atomically!(self, at, width, |cell, cast| cell.fetch_add(cast(value), Ordering::SeqCst))
    }

    /// `lock cmpxchg`: returns what was there, whether it was the expected or not.
    pub fn compare_swap(&self, at: usize, width: Width, expected: u64, value: u64) -> u64 {
        self.must_write();
        atomically!(self, at, width, |cell, cast| cell
            .compare_exchange(cast(expected), cast(value), Ordering::SeqCst, Ordering::SeqCst)
            .unwrap_or_else(|found| found))
    }

    /// `mfence`
    pub fn fence() {
        fence(Ordering::SeqCst);
    }

    /// A word of memory that is only used as a word, for control pages.
    pub fn word(&self, at: usize) -> &AtomicU64 {
        self.must_write();
        let pointer = self.pointer(at, 8);
        // SAFETY: inside the mapping and aligned, as `pointer` checked; lives as long as `self`, which the result borrows.
        unsafe { AtomicU64::from_ptr(pointer.cast()) }
    }

    pub fn copy_from(&self, at: usize, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.load(at + index, Width::One) as u8;
        }
    }

    pub fn copy_to(&self, at: usize, from: &[u8]) {
        for (index, byte) in from.iter().enumerate() {
            self.store(at + index, Width::One, u64::from(*byte));
        }
    }

    /// `msync` of everything, and waits for it.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the range is the mapping, and syncing changes no memory.
        Ok(unsafe { msync(self.base.as_ptr().cast(), self.bytes, MsyncFlags::SYNC) }?)
    }

    /// A store to a mapping for reading would end the process with a signal that says nothing.
    fn must_write(&self) {
        assert_eq!(self.access, Access::ReadWrite, "this mapping is for reading only");
    }

    fn pointer(&self, at: usize, width: usize) -> *mut u8 {
        let inside = at.checked_add(width).is_some_and(|end| end <= self.bytes);
        assert!(inside && at.is_multiple_of(width), "{width} bytes at {at} of a mapping of {}", self.bytes);
        // SAFETY: inside the mapping, as was just checked.
        unsafe { self.base.as_ptr().add(at) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone, and nothing borrows from it any more.
        let undone = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        debug_assert!(undone.is_ok(), "the whole of an own mapping can be undone");
    }
}
