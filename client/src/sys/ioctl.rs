//! The ioctls of `abi`: their number says how many bytes go which way.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The length that is written into an ioctl's number.
const fn bytes_of(command: u32) -> usize {
    ((command >> 16) & 0x3fff) as usize
}

/// An ioctl that gives a structure.
pub(crate) fn read(file: BorrowedFd<'_>, command: u32) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; bytes_of(command)];
    // SAFETY: the buffer has as many bytes as the command's number tells the kernel to write.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command.into(), bytes.as_mut_ptr()) };
    answered(result).map(|_| bytes)
}

/// An ioctl that takes a structure; gives its result.
pub(crate) fn write(file: BorrowedFd<'_>, command: u32, bytes: &[u8]) -> Result<u32, Errno> {
    if bytes.len() != bytes_of(command) {
        return Err(Errno::INVAL);
    }
    // SAFETY: the buffer has as many bytes as the command's number tells the kernel to read.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), command.into(), bytes.as_ptr()) };
    answered(result)
}

fn answered(result: libc::c_int) -> Result<u32, Errno> {
    u32::try_from(result).map_err(|_| super::memory::last_errno())
}
