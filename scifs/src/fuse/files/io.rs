//! Reading and writing: by read(2) and write(2), which go past the page cache, and by the page cache for mappings.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use scios::limits::PAGE_BYTES;

use super::Inner;
use super::answer::errno;
use super::append;
use super::attributes;
use super::convert;
use super::handles::Handle;
use super::lanes::Lane;
use super::present::{Present, fault, wait};
use crate::fuse::kernel::Reply;
use crate::names::limits::FILE_BYTES_MAX;
use crate::names::{Changes, Command, NameError};

const O_APPEND: u32 = 0o2000;

/// The bytes of one write, where they go and who waits.
pub(super) struct Write {
    pub(super) handle: Arc<Handle>,
    pub(super) offset: u64,
    pub(super) data: Vec<u8>,
    /// Of the open file, at the moment of the write.
    pub(super) flags: u32,
    pub(super) kill_privileges: bool,
    pub(super) reply: Reply,
}

/// read(2). A reader that comes to what this node takes for the end asks whether it is still there.
pub(super) fn read(
    inner: &Arc<Inner>,
    present: Arc<Present>,
    handle: Arc<Handle>,
    (offset, bytes): (u64, u32),
    reply: Reply,
) {
    if offset.saturating_add(u64::from(bytes)) <= handle.file.size() {
        return read_known(&present, &handle, (offset, bytes), reply);
    }
    inner.later(Lane::Ask, reply, move |inner, reply| match ask_size(inner, &present, &handle) {
        Ok(size) => {
            let left = size.saturating_sub(offset);
            let bytes = bytes.min(u32::try_from(left).unwrap_or(u32::MAX));
            read_known(&present, &handle, (offset, bytes), reply);
        }
        Err(errno) => reply.error(errno),
    });
}

/// The size as the leader knows it.
pub(super) fn ask_size(inner: &Inner, present: &Present, handle: &Handle) -> Result<u64, Errno> {
    let before = handle.file.layout();
    let size = attributes::attr(present, handle.inode)?.size;
    inner.learn_size(&handle.file, &before, size);
    Ok(size)
}

fn read_known(present: &Present, handle: &Handle, (offset, bytes): (u64, u32), reply: Reply) {
    if bytes == 0 {
        return reply.data(&[]);
    }
    present.pages.read(&handle.file, offset, bytes as usize, move |result| match result {
        Ok(data) => reply.data(&data),
        Err(error) => reply.error(fault(error)),
    });
}

/// The page cache wants one page for a mapping, and holds that page's lock until it is answered.
pub(super) fn fill(
    inner: &Arc<Inner>,
    present: Arc<Present>,
    handle: Arc<Handle>,
    (offset, bytes): (u64, u32),
    reply: Reply,
) {
    // More than a page is a read-ahead. It would hold one page's lock while it waits for another's owner, who may be
    // waiting for the first; refused, the pages are asked for one by one when they are touched.
    let page = match u32::try_from(offset / PAGE_BYTES as u64) {
        Ok(page) if bytes as usize <= PAGE_BYTES => page,
        _ => return reply.error(Errno::AGAIN),
    };
    if offset < handle.file.size() {
        return fill_known(&present, &handle, page, reply);
    }
    inner.later(Lane::Ask, reply, move |inner, reply| match ask_size(inner, &present, &handle) {
        Ok(size) if offset < size => fill_known(&present, &handle, page, reply),
        // The process gets SIGBUS, as for every page behind the end.
        Ok(_) => reply.error(Errno::IO),
        Err(errno) => reply.error(errno),
    });
}

fn fill_known(present: &Present, handle: &Handle, page: u32, reply: Reply) {
    present.pages.map_read(&handle.file, page, move |result| match result {
        Ok(bytes) => reply.data(bytes),
        Err(error) => {
            tracing::warn!(%error, page, "a mapped page could not be had");
            reply.error(Errno::IO);
        }
    });
}

/// The kernel writes a dirty mapped page back. Never waits: somebody waits for this with locks held.
pub(super) fn write_back(
    inner: &Inner,
    present: &Present,
    handle: &Handle,
    offset: u64,
    data: &[u8],
    reply: Reply,
) {
    match present.pages.write_back(&handle.file, offset, data) {
        Ok(()) => {
            inner.written.mark(handle.inode);
            reply.written(data.len() as u32);
        }
        Err(error) => reply.error(fault(error)),
    }
}

/// write(2).
pub(super) fn write(inner: &Arc<Inner>, present: Arc<Present>, write: Write) {
    let end = write.offset.saturating_add(write.data.len() as u64);
    if end > FILE_BYTES_MAX {
        return write.reply.error(Errno::FBIG);
    }
    let privileged = write.handle.privileged.load(Ordering::Relaxed);
    if write.flags & O_APPEND != 0 {
        return append::begin(inner, present, write);
    }
    let inside = end <= write.handle.file.size();
    if inside && !(write.kill_privileges && privileged) {
        return write_inside(inner, &present, write);
    }
    let Write { handle, offset, data, kill_privileges, reply, .. } = write;
    inner.later(Lane::Settle, reply, move |inner, reply| {
        let kept = keep_privileges(inner, &present, &handle, kill_privileges);
        let done = kept.and_then(|()| write_and_grow(inner, &present, &handle, offset, &data));
        inner.written.mark(handle.inode);
        match done {
            Ok(bytes) => reply.written(bytes),
            Err(errno) => reply.error(errno),
        }
    });
}

fn write_inside(inner: &Inner, present: &Present, write: Write) {
    let Write { handle, offset, data, reply, .. } = write;
    inner.written.mark(handle.inode);
    let bytes = data.len() as u32;
    present.pages.write(&handle.file, offset, data, move |result| match result {
        Ok(()) => reply.written(bytes),
        Err(error) => reply.error(fault(error)),
    });
}

/// First the bytes, then the size: nobody sees the file longer and finds zeros there. Bytes that were cut off in
/// between are written once more, so that the whole write is as if done at the moment the file grew.
fn write_and_grow(
    inner: &Inner,
    present: &Present,
    handle: &Handle,
    offset: u64,
    data: &[u8],
) -> Result<u32, Errno> {
    let size = offset.saturating_add(data.len() as u64);
    for attempt in 0_u32.. {
        let before = handle.file.layout();
        if let Err(errno) = wait(|done| present.pages.write(&handle.file, offset, data.to_vec(), done)) {
            clear_behind_the_end(inner, present, handle, (offset, size));
            return Err(errno);
        }
        if attempt == 0 {
            let command = Command::Grow { inode: handle.inode, size, now: convert::now() };
            let applied = present.names.run(&command).map_err(|why| {
                if matches!(why, NameError::Refused(_)) {
                    clear_behind_the_end(inner, present, handle, (offset, size));
                }
                errno(why)
            })?;
            // Whoever has it mapped on another node can reach the new bytes.
            present.names.settle(applied.index).map_err(errno)?;
            inner.learn_size(&handle.file, &before, size);
        }
        if handle.file.layout() == before || attempt >= REWRITES_MAX {
            break;
        }
    }
    Ok(data.len() as u32)
}

/// Takes back what was written of bytes by which the file could not grow: behind the end there are only zeros, and whoever makes
/// the file longer finds them.
fn clear_behind_the_end(inner: &Inner, present: &Present, handle: &Handle, (from, to): (u64, u64)) {
    let cleared = ask_size(inner, present, handle).and_then(|size| {
        // Pages that were not written can't all be had, which is why it failed; each is cleared by itself.
        append::clear(present, handle, from.max(size), to)
    });
    if let Err(errno) = cleared {
        tracing::debug!(inode = handle.inode, %errno, "not all of what a failed write covered was there to be cleared");
    }
}

/// A file that is cut again during every one of so many attempts belongs to whoever cuts it.
const REWRITES_MAX: u32 = 8;

/// A write by others than root takes the set-user-id bit and its like.
pub(super) fn keep_privileges(
    inner: &Inner,
    present: &Present,
    handle: &Handle,
    kill: bool,
) -> Result<(), Errno> {
    if kill && handle.privileged.load(Ordering::Relaxed) {
        let changes = Changes { drop_privileges: true, ..Changes::default() };
        let command = Command::SetAttr { inode: handle.inode, changes, now: convert::now() };
        present.names.run(&command).map_err(errno)?;
        inner.opens.set_privileged(handle.inode, false);
    }
    Ok(())
}
