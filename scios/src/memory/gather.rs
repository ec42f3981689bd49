//! Socket calls whose bytes lie in regions: the kernel copies, so no reference to shared bytes is needed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::RegionSlice;
use crate::limits::GATHER_SLICES_MAX;

const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// One `sendmsg` of `heads` followed by `slices` (the first `GATHER_SLICES_MAX` of them). Never raises SIGPIPE, never
/// blocks. Returns how many bytes the kernel took.
pub fn send_gather(socket: BorrowedFd<'_>, heads: [&[u8]; 2], slices: &[RegionSlice]) -> io::Result<usize> {
    let mut vectors = [EMPTY; GATHER_SLICES_MAX + 2];
    let mut used = 0;
    let parts = heads
        .iter()
        .map(|head| (head.as_ptr().cast_mut(), head.len()))
        .chain(slices.iter().take(GATHER_SLICES_MAX).map(|s| (s.base(), s.bytes())))
        .filter(|(_, bytes)| *bytes > 0);
    for (slot, (base, bytes)) in vectors.iter_mut().zip(parts) {
        *slot = libc::iovec { iov_base: base.cast(), iov_len: bytes };
        used += 1;
    }
    // SAFETY: an all-zero msghdr is valid: no name, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = used as _;
    // SAFETY: every vector lies in one of `heads` or in a live, mapped slice; the kernel only reads them.
    let sent =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// One `recvmsg` straight into a region, and what is beyond it into `rest`; waits for the first byte if `wait`. Returns
/// the bytes of both together; `Ok(0)` is the end of the stream.
pub fn recv_into(
    socket: BorrowedFd<'_>,
    into: &RegionSlice,
    rest: &mut [u8],
    wait: bool,
) -> io::Result<usize> {
    let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
    let mut vectors = [
        libc::iovec { iov_base: into.base().cast(), iov_len: into.bytes() },
        libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() },
    ];
    // SAFETY: an all-zero msghdr is valid: no name, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    // SAFETY: the slice is mapped, writable and alive during the call, and its bytes may be changed by anyone at any
    // time; `rest` is ours alone.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, flags) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// One `writev` of `heads` followed by a slice, for devices that take a message whole. Returns how many bytes were taken.
pub fn write_gather(file: BorrowedFd<'_>, heads: [&[u8]; 2], slice: &RegionSlice) -> io::Result<usize> {
    let part =
        |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let [first, second] = heads.map(part);
    let last = libc::iovec { iov_base: slice.base().cast(), iov_len: slice.bytes() };
    let vectors = [first, second, last];
    // SAFETY: the vectors lie in `heads` and in a live, mapped slice; the kernel only reads them, and answers EFAULT should
    // there be no memory behind the slice.
    let written = unsafe { libc::writev(file.as_raw_fd(), vectors.as_ptr(), vectors.len() as _) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}
