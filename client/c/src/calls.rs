//! One function each; `scifs.h` says what they do.

#![allow(unsafe_code)]
// Their contracts are in scifs.h, where who calls them reads.
#![allow(clippy::missing_safety_doc)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;
use std::time::Duration;

use scifs_client::{Error, Mode, raw};

use crate::failure::{give, guarded, sentence};

const WRITE: c_int = 1;
const NOWAIT: c_int = 2;

/// `struct scifs_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    pub node: u32,
    pub nodes: u32,
    pub attached: u32,
    pub reserved: u32,
    pub faults: u64,
    pub faults_remote: u64,
    pub pages_received: u64,
    pub pages_sent: u64,
    pub pages_revoked: u64,
    pub memory_used: u64,
    pub memory_budget: u64,
}

/// # Safety
/// A string that ends with a zero byte, or null.
unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path, Error> {
    if path.is_null() {
        return Err(Error::Argument { what: "the path is a null pointer" });
    }
    // SAFETY: as the caller promises.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    Ok(Path::new(OsStr::from_bytes(bytes)))
}

fn mode(mode: c_int, flags: c_int) -> Result<Mode, Error> {
    match mode & !flags {
        0 => Ok(Mode::Read),
        WRITE => Ok(Mode::Write),
        _ => Err(Error::Mode),
    }
}

/// Less than nothing is for ever.
fn timeout(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn scifs_map(name: *const c_char, protection: c_int) -> *mut c_void {
    // SAFETY: scifs.h asks for a string.
    guarded(null_mut(), || raw::map(unsafe { path(name) }?, protection).map(|address| address as *mut c_void))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn scifs_map_at(
    name: *const c_char,
    protection: c_int,
    address: *mut c_void,
    offset: u64,
    length: usize,
) -> *mut c_void {
    let address = (!address.is_null()).then_some(address as usize);
    let length = (length != 0).then_some(length);
    guarded(null_mut(), || {
        // SAFETY: scifs.h asks for a string.
        let path = unsafe { path(name) }?;
        raw::map_at(path, protection, address, offset, length).map(|address| address as *mut c_void)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn scifs_unmap(address: *mut c_void) -> c_int {
    // SAFETY: scifs.h says that the memory is gone then.
    guarded(-1, || unsafe { raw::unmap(address as usize) }.map(|()| 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_size(address: *const c_void) -> usize {
    guarded(0, || raw::size(address as usize))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_how(address: *const c_void) -> *const c_char {
    guarded(std::ptr::null(), || {
        Ok(match raw::by_kernel(address as usize)? {
            None => give("userfaultfd"),
            Some(why) => give(&format!("the kernel, since {why}")),
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_lock(address: *const c_void, length: usize, how: c_int) -> c_int {
    guarded(-1, || raw::lock(address as usize, length, mode(how, NOWAIT)?, how & NOWAIT == 0).map(|()| 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_unlock(address: *const c_void, length: usize, how: c_int) -> c_int {
    guarded(-1, || raw::unlock(address as usize, length, mode(how, NOWAIT)?).map(|()| 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_acquire() {
    raw::acquire();
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_release() {
    raw::release();
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn scifs_barrier(name: *const c_char, parties: u32) -> c_int {
    guarded(-1, || {
        // SAFETY: scifs.h asks for a string.
        let name = unsafe { path(name) }?.to_str().ok_or(Error::BarrierName)?;
        scifs_client::barrier(name, parties, None).map(c_int::from)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_wait(address: *const c_void, expected: u64, width: usize, timeout_ns: i64) -> c_int {
    guarded(-1, || raw::wait(address as usize, expected, width, timeout(timeout_ns)).map(|()| 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_notify(address: *const c_void, count: u32) -> c_int {
    guarded(-1, || {
        raw::notify(address as usize, count).map(|woken| c_int::try_from(woken).unwrap_or(c_int::MAX))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_prefetch(address: *const c_void, length: usize, how: c_int) -> c_int {
    guarded(-1, || raw::prefetch(address as usize, length, mode(how, 0)?).map(|()| 0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn scifs_stats(stats: *mut Stats) -> c_int {
    guarded(-1, || {
        if stats.is_null() {
            return Err(Error::Argument { what: "the place for the numbers is a null pointer" });
        }
        let info = scifs_client::info()?;
        let all = Stats {
            node: info.node,
            nodes: info.nodes,
            attached: info.attached,
            reserved: 0,
            faults: info.faults,
            faults_remote: info.faults_remote,
            pages_received: info.pages_received,
            pages_sent: info.pages_sent,
            pages_revoked: info.pages_revoked,
            memory_used: info.memory_used,
            memory_budget: info.memory_budget,
        };
        // SAFETY: scifs.h asks for a place of that size.
        unsafe { stats.write(all) };
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_node_id() -> c_int {
    guarded(-1, || Ok(c_int::try_from(scifs_client::info()?.node).unwrap_or(c_int::MAX)))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_node_count() -> c_int {
    guarded(-1, || Ok(c_int::try_from(scifs_client::info()?.nodes).unwrap_or(c_int::MAX)))
}

#[unsafe(no_mangle)]
pub extern "C" fn scifs_strerror(error: c_int) -> *const c_char {
    sentence(error)
}
