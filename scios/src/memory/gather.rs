//! Socket calls whose bytes lie in regions: the kernel copies, so no reference to shared bytes is needed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::RegionSlice;
use crate::limits::GATHER_SLICES_MAX;

/// One `sendmsg` of `head` followed by `slices`, leaving out the first `skip` bytes of the whole (those that an
/// earlier call has sent). Never raises SIGPIPE, never blocks. Returns how many bytes the kernel took.
pub fn send_gather(
    socket: BorrowedFd<'_>,
    head: &[u8],
    slices: &[RegionSlice],
    skip: usize,
) -> io::Result<usize> {
    const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut vectors = [EMPTY; GATHER_SLICES_MAX + 1];
    let mut used = 0;
    let mut skip = skip;
    let parts = std::iter::once((head.as_ptr().cast_mut(), head.len()))
        .chain(slices.iter().take(GATHER_SLICES_MAX).map(|s| (s.base(), s.bytes())));
    for (slot, (base, bytes)) in vectors.iter_mut().zip(parts) {
        let left_out = skip.min(bytes);
        skip -= left_out;
        *slot = libc::iovec { iov_base: base.wrapping_add(left_out).cast(), iov_len: bytes - left_out };
        used += 1;
    }
    // SAFETY: an all-zero msghdr is valid: no name, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = used as _;
    // SAFETY: every vector lies in `head` or in a live, mapped slice; the kernel only reads them.
    let sent =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// One non-blocking `recv` straight into a region. `Ok(0)` is the end of the stream.
pub fn recv_into(socket: BorrowedFd<'_>, into: &RegionSlice) -> io::Result<usize> {
    // SAFETY: the slice is mapped, writable and alive during the call; its bytes may be changed by anyone at any time.
    let got = unsafe { libc::recv(socket.as_raw_fd(), into.base().cast(), into.bytes(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}
