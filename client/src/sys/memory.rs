//! mmap and its like on raw addresses, past whoever interposes them.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// What mmap(2) takes, besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub address: usize,
    pub length: usize,
    pub protection: i32,
    pub flags: i32,
    pub offset: u64,
}

pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// mmap(2).
///
/// # Safety
/// With `MAP_FIXED`, nobody may rely on what is mapped there.
pub unsafe fn map(request: &Request, file: BorrowedFd<'_>) -> Result<usize, Errno> {
    let offset = libc::c_long::try_from(request.offset).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: a mapping at a new place touches nobody's memory, and MAP_FIXED is the caller's promise.
    let at = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            request.address,
            request.length,
            request.protection,
            request.flags,
            file.as_raw_fd(),
            offset,
        )
    };
    if at == -1 { Err(last_errno()) } else { Ok(at as usize) }
}

/// munmap(2).
///
/// # Safety
/// Nobody may rely on what is mapped there.
pub(crate) unsafe fn unmap(address: usize, length: usize) -> Result<(), Errno> {
    // SAFETY: as the caller promises.
    let result = unsafe { libc::syscall(libc::SYS_munmap, address, length) };
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}

/// mprotect(2).
///
/// # Safety
/// The range is the caller's own, and there are no references into it.
pub(crate) unsafe fn protect(address: usize, length: usize, protection: i32) -> Result<(), Errno> {
    // SAFETY: as the caller promises.
    let result = unsafe { libc::syscall(libc::SYS_mprotect, address, length, protection) };
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}

/// Keeps a mapping out of children. Takes nothing from anybody, since who forks can't rely on more than exec does.
pub(crate) fn not_inherited(address: usize, length: usize) -> Result<(), Errno> {
    // SAFETY: it changes nothing in this process.
    let result = unsafe { libc::syscall(libc::SYS_madvise, address, length, libc::MADV_DONTFORK) };
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}
