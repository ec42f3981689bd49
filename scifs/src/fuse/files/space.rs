//! Room in files: fallocate, and where data and holes are.

use rustix::io::Errno;
use scios::limits::PAGE_BYTES;

use super::answer::{Answer, Outcome, errno};
use super::attributes;
use super::convert;
use super::handles::Handle;
use super::present::{Present, wait};
use crate::names::limits::FILE_BYTES_MAX;
use crate::names::{Command, pages};

const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
const ZERO_RANGE: u32 = 0x10;

const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// A hole of more pages is made by a new layout, which costs the same whatever its length; a smaller one page by page.
const ZEROED_PAGES_MAX: u64 = 512;

const PAGE: u64 = PAGE_BYTES as u64;

pub(super) fn allocate(present: &Present, handle: &Handle, offset: u64, bytes: u64, mode: u32) -> Outcome {
    let end = offset.checked_add(bytes).filter(|end| *end <= FILE_BYTES_MAX).ok_or(Errno::FBIG)?;
    match mode {
        0 => {
            room(present, bytes)?;
            grow(present, handle, end)?;
        }
        KEEP_SIZE => room(present, bytes)?,
        mode if mode == PUNCH_HOLE | KEEP_SIZE || mode == ZERO_RANGE | KEEP_SIZE => {
            let size = attributes::attr(present, handle.inode)?.size;
            zero(present, handle, offset, end.min(size))?;
        }
        ZERO_RANGE => {
            let size = attributes::attr(present, handle.inode)?.size;
            zero(present, handle, offset, end.min(size))?;
            grow(present, handle, end)?;
        }
        _ => return Err(Errno::OPNOTSUPP),
    }
    Ok(Answer::Empty)
}

/// Memory isn't set aside; but what can't be there at all is refused now rather than at some later store.
fn room(present: &Present, bytes: u64) -> Result<(), Errno> {
    let (_, free) = attributes::memory(present);
    if bytes > free { Err(Errno::NOSPC) } else { Ok(()) }
}

fn grow(present: &Present, handle: &Handle, size: u64) -> Result<(), Errno> {
    if size > handle.file.size() {
        let command = Command::Grow { inode: handle.inode, size, now: convert::now() };
        present.names.run(&command).map_err(errno)?;
        handle.file.grow(size);
    }
    Ok(())
}

/// Makes bytes zero, and gives back the memory of whole pages of them.
fn zero(present: &Present, handle: &Handle, offset: u64, end: u64) -> Result<(), Errno> {
    if offset >= end {
        return Ok(());
    }
    let (first, last) = (offset.next_multiple_of(PAGE), end / PAGE * PAGE);
    if first > last {
        // Inside one page.
        return write_zeros(present, handle, offset, end);
    }
    write_zeros(present, handle, offset, first)?;
    // A page that the file's end is in is whole: nothing is behind it.
    let last = if pages(end) * PAGE > last && end == handle.file.size() { pages(end) * PAGE } else { last };
    write_zeros(present, handle, last.min(end), end)?;
    let count = (last - first) / PAGE;
    let (Ok(first_page), Ok(count_32)) = (u32::try_from(first / PAGE), u32::try_from(count)) else {
        return Err(Errno::FBIG);
    };
    if count > ZEROED_PAGES_MAX {
        let command = Command::Punch {
            inode: handle.inode,
            first_page,
            pages: count_32,
            now: convert::now(),
        };
        let applied = present.names.run(&command).map_err(errno)?;
        present.relay(handle.inode)?;
        return present.names.settle(applied.index).map_err(errno);
    }
    if count == 0 {
        return Ok(());
    }
    wait(|done| present.pages.zero(&handle.file, first_page..first_page + count_32, done))
}

fn write_zeros(present: &Present, handle: &Handle, from: u64, to: u64) -> Result<(), Errno> {
    if from >= to {
        return Ok(());
    }
    let zeros = vec![0; (to - from) as usize];
    wait(|done| present.pages.write(&handle.file, from, zeros, done))
}

pub(super) fn seek(present: &Present, handle: &Handle, offset: u64, whence: u32) -> Outcome {
    let size = attributes::attr(present, handle.inode)?.size;
    if offset >= size {
        return Err(Errno::NXIO);
    }
    let page = u32::try_from(offset / PAGE).map_err(|_| Errno::NXIO)?;
    // The page that the offset is in counts from the offset on.
    let at = |page: u32| offset.max(u64::from(page) * PAGE);
    match whence {
        SEEK_DATA => Ok(Answer::Offset(at(page))),
        SEEK_HOLE => Ok(Answer::Offset(size)),
        _ => Err(Errno::INVAL),
    }
}
