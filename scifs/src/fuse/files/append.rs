//! Writes with O_APPEND: one at a time in the whole cluster for each file, first the bytes, then the size. So two never write to
//! one place, and nobody finds zeros where bytes will be.
//!
//! Whose turn it is, a lock says that no program sees. It is cached at the last holder as all locks are, and goes on when
//! its holder dies.

use std::sync::Arc;

use rustix::io::Errno;

use super::Inner;
use super::answer::{errno, mismatch};
use super::convert;
use super::handles::Handle;
use super::io::{Write, ask_size, keep_privileges};
use super::lanes::Lane;
use super::present::{Present, wait};
use crate::locks::{Kind, LockRequest, Locks, Range, Space};
use crate::names::limits::FILE_BYTES_MAX;
use crate::names::{Answer, Attr, Command, Inode, NameError};

/// Where the lock of those who append lies: beside all inodes, so that it never meets the locks of programs.
const APPENDING: u64 = 1 << 62;

/// The lock that says whose turn it is.
pub(super) fn lock_of(inode: Inode) -> u64 {
    inode | APPENDING
}

/// The turn to append. Dropped, it is the next one's.
struct Turn {
    locks: Arc<Locks>,
    inode: Inode,
    owner: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.locks.release_owner(lock_of(self.inode), Space::Flock, self.owner, || ());
    }
}

/// Waits for its turn without a thread.
pub(super) fn begin(inner: &Arc<Inner>, present: Arc<Present>, write: Write) {
    let locks = match present.locks() {
        Ok(locks) => Arc::clone(locks),
        Err(errno) => return write.reply.error(errno),
    };
    // The kernel's numbers are even, so no interrupt finds this: a write isn't ended by one.
    let owner = write.reply.unique() | 1;
    let inode = write.handle.inode;
    let request = LockRequest {
        space: Space::Flock,
        owner,
        pid: 0,
        start: Range::ALL.start,
        end: Range::ALL.end,
        kind: Some(Kind::Write),
        wait: true,
        handle: 0,
    };
    let (inner, holder) = (Arc::clone(inner), Arc::clone(&locks));
    locks.set(lock_of(inode), request, owner, move |result| match result {
        Ok(()) => take(&inner, present, write, Turn { locks: holder, inode, owner }),
        Err(errno) => write.reply.error(errno),
    });
}

fn take(inner: &Arc<Inner>, present: Arc<Present>, write: Write, turn: Turn) {
    let Write { handle, data, kill_privileges, reply, .. } = write;
    inner.later(Lane::Settle, reply, move |inner, reply| {
        let kept = keep_privileges(inner, &present, &handle, kill_privileges);
        let appended = kept.and_then(|()| append(inner, &present, &handle, &data));
        drop(turn);
        inner.written.mark(handle.inode);
        // Whoever has it mapped on another node can reach the new bytes.
        match appended.and_then(|index| present.names.settle(index).map_err(errno)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    });
}

/// Returns where in the log the file grew.
fn append(inner: &Inner, present: &Present, handle: &Handle, data: &[u8]) -> Result<u64, Errno> {
    let (at, bytes) = (ask_size(inner, present, handle)?, data.len() as u64);
    let end = at.checked_add(bytes).filter(|end| *end <= FILE_BYTES_MAX).ok_or(Errno::FBIG)?;
    let before = handle.file.layout();
    wait(|done| present.pages.write(&handle.file, at, data.to_vec(), done))?;
    let command = Command::Append { inode: handle.inode, at, bytes, now: convert::now() };
    match present.names.run(&command) {
        Ok(applied) => match applied.answer {
            Answer::Attr(Attr { size, .. }) if size >= end => {
                inner.learn_size(&handle.file, &before, size);
                Ok(applied.index)
            }
            // The file was cut meanwhile, and these bytes with it: behind the end there are only zeros.
            Answer::Attr(Attr { size, .. }) => {
                clear(present, handle, at.max(size), end).map(|()| applied.index)
            }
            _ => Err(mismatch("append")),
        },
        Err(why) => {
            if matches!(why, NameError::Refused(_)) {
                clear(present, handle, at, end)?;
            }
            Err(errno(why))
        }
    }
}

/// Overwrites with zeros what lies between two offsets, if anything does.
pub(super) fn clear(present: &Present, handle: &Handle, from: u64, to: u64) -> Result<(), Errno> {
    if from >= to {
        return Ok(());
    }
    let zeros = vec![0; usize::try_from(to.saturating_sub(from)).map_err(|_| Errno::FBIG)?];
    wait(|done| present.pages.write(&handle.file, from, zeros, done))
}
