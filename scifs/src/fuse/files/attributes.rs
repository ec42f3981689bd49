//! Attributes: asking for them, setting them, cutting files off; how full the cluster is.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use scios::limits::PAGE_BYTES;

use super::Inner;
use super::answer::{Answer, Outcome, errno, mismatch};
use super::convert;
use super::opening::PRIVILEGES;
use super::present::{Present, wait_for};
use crate::fuse::kernel::{Header, SetAttr, StatFs};
use crate::names::limits::NAME_BYTES_MAX;
use crate::names::{self, Attr, Changes, Command, Found, Inode, Query};
use crate::node::File;

pub(super) fn get_attr(inner: &Inner, present: &Present, inode: Inode) -> Outcome {
    inner.tell_written(present, inode);
    attr(present, inode).map(Answer::Attr)
}

pub(super) fn attr(present: &Present, inode: Inode) -> Result<Attr, Errno> {
    match present.names.ask(&Query::GetAttr { inode }).map_err(errno)? {
        Found::Attr(attr) => Ok(attr),
        _ => Err(mismatch("getattr")),
    }
}

/// Whether the caller could open the file for writing, by its mode. Further groups of the caller aren't known here.
pub(super) fn may_write(attr: &Attr, header: &Header) -> bool {
    let class = match () {
        () if header.uid == 0 => return true,
        () if header.uid == attr.uid => 6,
        () if header.gid == attr.gid => 3,
        () => 0,
    };
    attr.mode >> class & 2 != 0
}

pub(super) fn set_attr(inner: &Inner, present: &Present, inode: Inode, set: &SetAttr) -> Outcome {
    // What was written before is older than what is set now.
    inner.tell_written(present, inode);
    let changes = Changes {
        mode: set.mode.map(|mode| mode & 0o7777),
        uid: set.uid,
        gid: set.gid,
        size: set.size,
        atime: set.atime.map(convert::time),
        mtime: set.mtime.map(convert::time),
        drop_privileges: false,
    };
    if let Some(mode) = changes.mode {
        inner.opens.set_privileged(inode, mode & PRIVILEGES != 0);
    }
    match changes.size {
        Some(size) => truncate(present, inode, size, changes),
        None => run(present, inode, changes).map(|(attr, _)| Answer::Attr(attr)),
    }
}

/// Longer than a page takes to be taken from the kernel when nothing holds that up.
const TAKING_MAX: Duration = Duration::from_millis(20);

/// How long a truncation waits for the page that it cuts through. That may be held up on its node by another truncation,
/// which waits for a page of this one; then the page is cut as soon as both are answered.
const TAIL_MAX: Duration = Duration::from_secs(1);

/// A thread that takes pages of the file from the kernel, and that began before it was known that a process truncates the file,
/// may be stuck until this is answered; and this may need it to be answered. Then the process is told to try again, which
/// happens to one truncation of a file at most: the next finds no such thread.
pub(super) fn wait_for_takers(file: Option<&File>) -> Result<(), Errno> {
    let Some(file) = file else { return Ok(()) };
    let began = Instant::now();
    while !file.is_resizable() {
        if began.elapsed() > TAKING_MAX {
            return Err(Errno::INTR);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

/// While this runs the kernel writes nothing of the file back, so nothing here may wait for its dirty pages on this node.
fn truncate(present: &Present, inode: Inode, size: u64, changes: Changes) -> Outcome {
    let info = present.info(inode)?;
    let file = present.file(&info)?;
    let shrinks = size < info.attr.size;
    if shrinks && !size.is_multiple_of(PAGE_BYTES as u64) {
        // Bytes behind the end are always zeros: whoever makes the file longer finds them so.
        match wait_for(TAIL_MAX, Errno::TIMEDOUT, |done| present.pages.cut_tail(&file, size, done)) {
            Err(Errno::TIMEDOUT) => tracing::warn!(inode, "the page at a file's new end is cut late"),
            cut => cut?,
        }
    }
    let (attr, index) = run(present, inode, changes)?;
    if shrinks {
        present.relay(inode)?;
    } else {
        file.grow(attr.size);
    }
    // On every node the cut pages are gone, and mappings reach up to the new end.
    present.names.settle(index).map_err(errno)?;
    Ok(Answer::Attr(attr))
}

fn run(present: &Present, inode: Inode, changes: Changes) -> Result<(Attr, u64), Errno> {
    let command = Command::SetAttr { inode, changes, now: convert::now() };
    let applied = present.names.run(&command).map_err(errno)?;
    match applied.answer {
        names::Answer::Attr(attr) => Ok((attr, applied.index)),
        _ => Err(mismatch("setattr")),
    }
}

/// What all members donate together, and what of it is free as they last said.
pub(super) fn stat_fs(present: &Present) -> Outcome {
    let totals = match present.names.ask(&Query::StatFs).map_err(errno)? {
        Found::Totals(totals) => totals,
        _ => return Err(mismatch("statfs")),
    };
    let (all, free) = memory(present);
    Ok(Answer::StatFs(StatFs {
        blocks: all / PAGE_BYTES as u64,
        blocks_free: free / PAGE_BYTES as u64,
        files: totals.inodes_max,
        files_free: totals.inodes_max.saturating_sub(totals.inodes),
        block_bytes: PAGE_BYTES as u32,
        name_bytes_max: NAME_BYTES_MAX as u32,
    }))
}

/// Bytes that the members donate, and how many are free.
pub(super) fn memory(present: &Present) -> (u64, u64) {
    let status = present.cluster.status();
    let announced = |id| status.announcements.iter().find(|said| said.member == id).map(|said| said.free);
    status.view.members().fold((0, 0), |(all, free), member| {
        let left = if member.id == status.id {
            present.memory.status().free_bytes
        } else {
            announced(member.id).unwrap_or(member.memory)
        };
        (all + member.memory, free + left)
    })
}
