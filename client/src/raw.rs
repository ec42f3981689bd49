//! The calls of `scifs.h`, on plain addresses. What a program finds in its memory is its own affair; the calls check what they are given.

#![allow(unsafe_code)]

use std::path::Path;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use crate::attach::Why;
use crate::error::Error;
use crate::locks::{self, Mode};
use crate::mapping::{self, Part};
use crate::sync;

/// Maps the whole file at its address in the cluster; gives the address.
pub fn map(path: &Path, protection: i32) -> Result<usize, Error> {
    mapping::map(path, protection).map(|mapping| mapping.address)
}

/// Maps a part of a file; without an address wherever there is room, without a length up to the end of the file.
pub fn map_at(
    path: &Path,
    protection: i32,
    address: Option<usize>,
    offset: u64,
    length: Option<usize>,
) -> Result<usize, Error> {
    mapping::map_at(path, protection, Part { address, offset, length }).map(|mapping| mapping.address)
}

/// Takes away the mapping that begins there.
///
/// # Safety
/// Nobody uses its memory any more.
pub unsafe fn unmap(address: usize) -> Result<(), Error> {
    // SAFETY: as the caller promises.
    unsafe { mapping::unmap(address) }
}

/// The length of the mapping that begins there.
pub fn size(address: usize) -> Result<usize, Error> {
    mapping::at(address).map(|mapping| mapping.length)
}

/// Why the mapping that begins there takes the kernel's way; nothing if it doesn't.
pub fn by_kernel(address: usize) -> Result<Option<Why>, Error> {
    mapping::at(address).map(|mapping| mapping.by_kernel())
}

pub fn lock(address: usize, length: usize, mode: Mode, wait: bool) -> Result<(), Error> {
    locks::lock(address, length, mode, wait)
}

pub fn unlock(address: usize, length: usize, mode: Mode) -> Result<(), Error> {
    locks::unlock(address, length, mode)
}

/// What others have released before is seen from here on. Strict files need nothing but the fence.
pub fn acquire() {
    fence(Ordering::SeqCst);
}

/// What was done before is seen by who acquires after. Strict files need nothing but the fence.
pub fn release() {
    fence(Ordering::SeqCst);
}

pub fn wait(address: usize, expected: u64, width: usize, timeout: Option<Duration>) -> Result<(), Error> {
    sync::wait(address, expected, width, timeout)
}

pub fn notify(address: usize, count: u32) -> Result<u32, Error> {
    sync::notify(address, count)
}

pub fn prefetch(address: usize, length: usize, mode: Mode) -> Result<(), Error> {
    sync::prefetch(address, length, mode)
}
