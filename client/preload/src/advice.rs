//! madvise(MADV_REMOVE): a file of a mount gets a hole by it. On the fast path the kernel would make the hole in this node's copy only and tell
//! nobody, so there it is refused, as file systems without holes do; `fallocate` on the file does it.

use std::ffi::{c_int, c_void};

/// What the memory of files is called in /proc.
const MEMORY: &str = "/memfd:scifs-";

/// madvise(2).
///
/// # Safety
/// That of madvise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int {
    if advice == libc::MADV_REMOVE && is_shared(address as usize, length) {
        // SAFETY: the place of errno of this thread is always there.
        unsafe { *libc::__errno_location() = libc::EOPNOTSUPP };
        return -1;
    }
    // SAFETY: the very call that the program has made.
    unsafe { libc::syscall(libc::SYS_madvise, address, length, advice) as c_int }
}

/// Whether some of the range is a file's memory.
fn is_shared(address: usize, length: usize) -> bool {
    let table = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let end = address.saturating_add(length);
    table
        .lines()
        .filter(|line| line.contains(MEMORY))
        .any(|line| range(line).is_some_and(|(first, last)| first < end && address < last))
}

/// `7fd7c0a18000-7fd7c0b18000 rw-s ...`
fn range(line: &str) -> Option<(usize, usize)> {
    let (first, last) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(first, 16).ok()?, usize::from_str_radix(last, 16).ok()?))
}
