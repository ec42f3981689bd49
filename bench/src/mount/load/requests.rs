//! Calls that go past the page cache: locks, small reads and writes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{FlockOperation, flock};

use super::{Ends, LoadError, call, for_writing};
use crate::mount::workload::{SMALL_BYTES, Workload};
use crate::sweep::{Measured, PAGE_BYTES, Times};

/// This node has had it last.
pub(super) fn lock_again(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let file = ends.first(&for_writing())?;
    lock_in_turns(&[file], ends.repeats)
}

/// The other node has had it last, and has given it back.
pub(super) fn lock_hand_over(ends: &Ends<'_>) -> Result<Measured, LoadError> {
    let files = [ends.first(&for_writing())?, ends.second(&for_writing())?];
    lock_in_turns(&files, ends.repeats)
}

fn lock_in_turns(files: &[File], repeats: usize) -> Result<Measured, LoadError> {
    let mut times = Times::new(repeats);
    for file in files.iter().cycle().take(repeats) {
        times.time(|| flock(file, FlockOperation::LockExclusive)).map_err(call("lock"))?;
        flock(file, FlockOperation::Unlock).map_err(call("unlock"))?;
    }
    Ok(times.measured())
}

fn bytes_of(workload: Workload) -> Vec<u8> {
    match workload {
        Workload::ReadSmall | Workload::WriteSmall => vec![1; SMALL_BYTES],
        _ => vec![1; PAGE_BYTES],
    }
}

pub(super) fn reads(ends: &Ends<'_>, workload: Workload) -> Result<Measured, LoadError> {
    let file = ends.first(&for_writing())?;
    let (mut times, mut bytes) = (Times::new(ends.repeats), bytes_of(workload));
    for _ in 0..ends.repeats {
        times.time(|| file.read_exact_at(&mut bytes, 0)).map_err(call("read"))?;
    }
    Ok(times.measured())
}

pub(super) fn writes(ends: &Ends<'_>, workload: Workload) -> Result<Measured, LoadError> {
    let file = ends.first(&for_writing())?;
    let (mut times, bytes) = (Times::new(ends.repeats), bytes_of(workload));
    for _ in 0..ends.repeats {
        times.time(|| file.write_all_at(&bytes, 0)).map_err(call("write"))?;
    }
    Ok(times.measured())
}
