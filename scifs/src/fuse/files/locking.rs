//! flock, and record locks of processes and of open files.

use std::sync::Arc;

use rustix::io::Errno;

use super::Inner;
use super::present::Present;
use crate::fuse::kernel::{FileLock, Header, Reply};
use crate::locks::{Conflict, Kind, LockRequest, Space};

const F_RDLCK: u32 = 0;
const F_WRLCK: u32 = 1;
const F_UNLCK: u32 = 2;

/// A SETLK or SETLKW as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) handle: u64,
    pub(super) owner: u64,
    pub(super) lock: FileLock,
    pub(super) flock: bool,
    pub(super) wait: bool,
}

impl Wish {
    fn request(&self) -> Result<LockRequest, Errno> {
        let kind = match self.lock.kind {
            F_RDLCK => Some(Kind::Read),
            F_WRLCK => Some(Kind::Write),
            F_UNLCK => None,
            _ => return Err(Errno::INVAL),
        };
        Ok(LockRequest {
            space: if self.flock { Space::Flock } else { Space::Posix },
            owner: self.owner,
            pid: self.lock.pid,
            start: self.lock.start,
            end: self.lock.end,
            kind,
            wait: self.wait,
            handle: self.handle,
        })
    }
}

pub(super) fn set(inner: &Arc<Inner>, present: &Present, header: &Header, wish: &Wish, reply: Reply) {
    let (request, locks) = match wish.request().and_then(|request| Ok((request, present.locks()?))) {
        Ok(both) => both,
        Err(errno) => return reply.error(errno),
    };
    let unique = reply.unique();
    locks.set(header.inode, request, unique, move |result| match result {
        Ok(()) => reply.empty(),
        Err(errno) => reply.error(errno),
    });
    if wish.wait && inner.early.take(unique) {
        locks.interrupt(unique);
    }
}

pub(super) fn test(present: &Present, header: &Header, wish: &Wish, reply: Reply) {
    let (request, locks) = match wish.request().and_then(|request| Ok((request, present.locks()?))) {
        Ok(both) => both,
        Err(errno) => return reply.error(errno),
    };
    let free = FileLock { kind: F_UNLCK, ..wish.lock };
    locks.test(header.inode, &request, move |result| match result {
        Ok(None) => reply.lock(&free),
        Ok(Some(conflict)) => reply.lock(&blocking(&conflict)),
        Err(errno) => reply.error(errno),
    });
}

fn blocking(conflict: &Conflict) -> FileLock {
    FileLock {
        start: conflict.range.start,
        end: conflict.range.end,
        kind: if conflict.kind == Kind::Read { F_RDLCK } else { F_WRLCK },
        pid: conflict.pid,
    }
}

/// Only locks and other programs are ever waited for so long that somebody wants to give up. Everything else ends by itself.
pub(super) fn interrupt(inner: &Inner, unique: u64, reply: Reply) {
    let present = inner.present().ok();
    let heeded = present.is_some_and(|present| {
        present.locks.get().is_some_and(|locks| locks.interrupt(unique))
            || present.waits.get().is_some_and(|waits| waits.interrupt(unique))
    });
    if !heeded {
        inner.early.remember(unique);
    }
    reply.none();
}
