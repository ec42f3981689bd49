//! What `scifs exec` loads into a program: its mmap of a file below a mount becomes the fast path, and everything else the system call
//! that it always was. Only mmap, mmap64 and madvise are ours; the daemon follows what else a program does with its memory.
//!
//! Called in the middle of everything (malloc, the loader, signal handlers), so nothing here allocates, locks or prints before it is certain that the mapping
//! is a shared one of a file on FUSE that offers the fast path. `errno` is the program's.

#![allow(unsafe_code)]

pub mod advice;
mod say;

use std::ffi::{c_int, c_void};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use scifs_client::attach::{self, Forks};
use scifs_client::sys::Request;

/// statfs's name for FUSE.
const FUSE_SUPER_MAGIC: u32 = 0x6573_5546;

/// Runs when the library is loaded: a child of vfork must not be the first one here.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    let _ = catch_unwind(scifs_client::begin);
}

/// mmap(2).
///
/// # Safety
/// That of mmap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    if is_candidate(flags, file, offset) {
        let request = Request { address: address as usize, length, protection, flags, offset: offset as u64 };
        // SAFETY: as the caller promises.
        if let Some(at) = unsafe { fast(file, &request) } {
            return at as *mut c_void;
        }
    }
    // SAFETY: the very call that the program has made.
    unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, file, offset) as *mut c_void }
}

/// The same; off_t has 64 bits anyway.
///
/// # Safety
/// That of mmap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: libc::off_t,
) -> *mut c_void {
    // SAFETY: as the caller promises.
    unsafe { mmap(address, length, protection, flags, file, offset) }
}

/// Without a system call for nearly everything that programs map.
fn is_candidate(flags: c_int, file: c_int, offset: libc::off_t) -> bool {
    let shared = matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    shared && flags & libc::MAP_ANONYMOUS == 0 && file >= 0 && offset >= 0 && is_on_fuse(file)
}

fn is_on_fuse(file: c_int) -> bool {
    let errno = Errno::keep();
    let mut about = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a place for the structure that the kernel fills.
    let result = unsafe { libc::fstatfs(file, about.as_mut_ptr()) };
    drop(errno);
    // SAFETY: filled, since the call has succeeded.
    result == 0 && unsafe { about.assume_init() }.f_type as u32 == FUSE_SUPER_MAGIC
}

/// Where it is mapped, if userfaultfd serves it.
///
/// # Safety
/// That of mmap.
unsafe fn fast(file: c_int, request: &Request) -> Option<usize> {
    let _errno = Errno::keep();
    let attempt = || {
        // SAFETY: fstatfs has just taken it for an open file, and the program keeps it open during its call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(file) };
        // SAFETY: as the caller promises.
        let result = unsafe { attach::map(descriptor, request, Forks::Needed) };
        let result = result.map(|served| served.address);
        say::mapped(descriptor, request, &result);
        result.ok()
    };
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or(None)
}

/// The program's errno, put back when this is dropped.
struct Errno(c_int);

impl Errno {
    fn keep() -> Self {
        // SAFETY: the place of errno of this thread is always there.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: the same.
        unsafe { *libc::__errno_location() = self.0 };
    }
}
