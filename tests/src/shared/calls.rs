//! System calls that nobody wraps safely.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use scifs_client::abi::{INFO, Info};

use super::clock::nap;

/// Between two looks at a process that dies.
const GLANCE_NS: u64 = 20_000;

/// A copy of this process that does that and ends; it dies with this one. The caller has one thread only.
pub fn fork(child: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: one thread, as the caller promises, so whatever it may hold is in order in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let dies = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if dies.is_ok() {
                child();
            }
            // SAFETY: ends the process without what the parent wants done at its own end.
            unsafe { libc::_exit(i32::from(dies.is_err())) }
        }
        pid => Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// Kills a child; whether it was gone in time.
pub fn kill(child: Pid, deadline: Instant) -> io::Result<bool> {
    kill_process(child, Signal::KILL)?;
    while waitpid(Some(child), WaitOptions::NOHANG)?.is_none() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        nap(GLANCE_NS);
    }
    Ok(true)
}

/// Waits for a child that ends by itself.
pub fn wait(child: Pid) -> io::Result<()> {
    waitpid(Some(child), WaitOptions::empty())?;
    Ok(())
}

/// What the node of a mount says about itself.
pub fn info(folder: &Path) -> io::Result<Info> {
    let mut bytes = [0u8; Info::BYTES];
    let place = File::open(folder)?;
    // SAFETY: the buffer has as many bytes as this ioctl writes.
    let result = unsafe { libc::ioctl(place.as_raw_fd(), INFO.into(), bytes.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Info::from_bytes(&bytes).map_err(io::Error::other)
}
