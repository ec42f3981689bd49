//! What the kernel asks of one side of the floor: a folder with one file.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use scifs::fuse::kernel::{Attr, Entry, FileKind, FileSystem, Header, OpenFlags, Operation, Reply};

use super::side::{FILE, Side};

pub(super) const NAME: &str = "file";

/// The kernel may keep names and attributes: they never change.
const EVER: Duration = Duration::from_secs(3600);

/// `F_UNLCK`
const UNLOCK: u32 = 2;
/// `O_ACCMODE`
const ACCESS_MODE: u32 = 3;

pub(super) struct Files {
    side: Arc<Side>,
    bytes: u64,
}

impl Files {
    pub(super) fn new(side: &Arc<Side>) -> Self {
        Self { side: Arc::clone(side), bytes: side.bytes() }
    }

    fn attr(&self, inode: u64) -> Attr {
        let (kind, size) =
            if inode == FILE { (FileKind::File, self.bytes) } else { (FileKind::Directory, 0) };
        Attr {
            inode,
            kind,
            size,
            blocks_512: size / 512,
            atime: (0, 0),
            mtime: (0, 0),
            ctime: (0, 0),
            permissions: 0o755,
            links: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            device: 0,
            block_bytes: 4096,
        }
    }

    fn lookup(&self, name: &OsStr, reply: Reply) {
        if name == NAME {
            reply.entry(&Entry { attr: self.attr(FILE), generation: 0, name_valid: EVER, attr_valid: EVER });
        } else {
            reply.error(Errno::NOENT);
        }
    }

    fn open(&self, flags: u32, reply: Reply) {
        let writes = flags & ACCESS_MODE != 0;
        if writes {
            self.side.opened();
        }
        let flags = OpenFlags { direct_io: true, keep_cache: true, parallel_direct_writes: true };
        reply.opened(u64::from(writes), flags);
    }

    fn read(&self, offset: u64, bytes: u32, from_cache: bool, reply: Reply) {
        let mut reply = Some(reply);
        let offset = offset as usize;
        let done = self.side.read(offset..offset.saturating_add(bytes as usize), from_cache, |bytes| {
            if let Some(reply) = reply.take() {
                reply.data(bytes);
            }
        });
        if let (Err(error), Some(reply)) = (done, reply) {
            fail(reply, &error);
        }
    }
}

fn fail(reply: Reply, error: &io::Error) {
    eprintln!("scifs-bench: floor: {error}");
    reply.error(Errno::IO);
}

fn answer(reply: Reply, done: io::Result<()>) {
    match done {
        Ok(()) => reply.empty(),
        Err(error) => fail(reply, &error),
    }
}

impl FileSystem for Files {
    fn handle(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        match operation {
            Operation::Read { offset, bytes, from_cache, .. } => self.read(offset, bytes, from_cache, reply),
            Operation::Write { offset, data, from_cache, .. } => {
                match self.side.write(offset as usize, data, from_cache) {
                    Ok(()) => reply.written(data.len() as u32),
                    Err(error) => fail(reply, &error),
                }
            }
            Operation::SetLock { lock, .. } if lock.kind == UNLOCK => reply.empty(),
            Operation::SetLock { .. } => answer(reply, self.side.lock()),
            Operation::Lookup { name } => self.lookup(name, reply),
            Operation::GetAttr { .. } | Operation::SetAttr(_) => reply.attr(&self.attr(header.inode), EVER),
            Operation::Open { flags } => self.open(flags, reply),
            Operation::OpenDir { .. } => reply.opened(0, OpenFlags::default()),
            Operation::Release { handle, .. } => {
                if handle != 0 {
                    self.side.closed();
                }
                reply.empty();
            }
            // Removing the file ends a measurement; this mount ends with it.
            Operation::Flush { .. }
            | Operation::FSync { .. }
            | Operation::ReleaseDir { .. }
            | Operation::Unlink { .. } => reply.empty(),
            Operation::Forget(_) => {}
            _ => reply.error(Errno::NOSYS),
        }
    }
}
