//! Record locks that belong to an open file description (`F_OFD_SETLK`), so that threads exclude each other as well as processes and nodes.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Unlock,
}

/// Waits, if it should, until the lock is there.
pub(crate) fn set_lock(
    file: BorrowedFd<'_>,
    kind: Kind,
    offset: u64,
    length: usize,
    wait: bool,
) -> Result<(), Errno> {
    let (Ok(start), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return Err(Errno::OVERFLOW);
    };
    let kind = match kind {
        Kind::Read => libc::F_RDLCK,
        Kind::Write => libc::F_WRLCK,
        Kind::Unlock => libc::F_UNLCK,
    };
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    };
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    // SAFETY: the kernel reads one `flock`, which lives until the call returns.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const lock) };
    if result == -1 { Err(super::memory::last_errno()) } else { Ok(()) }
}
