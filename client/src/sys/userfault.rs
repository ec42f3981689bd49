//! A new userfaultfd, by whichever way this user may have one.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::UserfaultfdFlags;

const DEVICE: &str = "/dev/userfaultfd";
/// `_IO(0xAA, 0x00)`.
const NEW: libc::c_ulong = 0xAA00;

/// One that is non-blocking, and serves faults of system calls, too. EPERM if this user may have none.
pub(crate) fn userfault() -> Result<OwnedFd, Errno> {
    // SAFETY: faults are only sent to it for ranges that are registered, and we register none that isn't ours.
    match unsafe { rustix::mm::userfaultfd(UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK) } {
        Err(Errno::PERM) => by_device(),
        other => other,
    }
}

fn by_device() -> Result<OwnedFd, Errno> {
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let device = device.map_err(|_| Errno::PERM)?;
    // SAFETY: this ioctl takes flags, no pointer.
    let new = unsafe { libc::ioctl(device.as_raw_fd(), NEW, libc::O_CLOEXEC | libc::O_NONBLOCK) };
    if new < 0 {
        return Err(super::memory::last_errno());
    }
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
