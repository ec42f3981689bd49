//! `scifs exec --verbose`: one line on standard error for each mapping of a file on a mount.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use scifs_client::Why;
use scifs_client::sys::Request;

/// Set by `scifs exec --verbose`.
const VARIABLE: &str = "SCIFS_VERBOSE";

pub(crate) fn mapped(file: BorrowedFd<'_>, request: &Request, result: &Result<usize, Why>) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if !WANTED.get_or_init(|| std::env::var_os(VARIABLE).is_some()) || !scifs_client::is_ours(file) {
        return;
    }
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let (path, bytes, who) = (path.display(), request.length, std::process::id());
    let line = match result {
        Ok(address) => format!("scifs[{who}]: {path}: {bytes} bytes at {address:#x} by userfaultfd\n"),
        Err(why) => format!("scifs[{who}]: {path}: {bytes} bytes by the kernel, since {why}\n"),
    };
    // In one piece, so that lines of several processes don't mix; a program that has closed it hears nothing.
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
}
