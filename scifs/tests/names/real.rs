//! A directory of a real file system, in memory, that is removed at the end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use scifs::names::{Attr, Kind};

/// Removed with everything in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("scifs-names-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from("/dev/shm").join(name);
        std::fs::create_dir(&path).expect("/dev/shm is a tmpfs on Linux");
        Self(path)
    }

    pub(crate) fn open(&self) -> OwnedFd {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.0, flags, Mode::empty()).expect("open the scratch directory")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn stat(directory: &OwnedFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// What both should agree on. A directory's size means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    kind: Kind,
    mode: u32,
    links: u64,
    uid: u32,
    gid: u32,
    size: u64,
    device: u64,
    mtime: Option<i64>,
}

/// Times that a test has set are small; others are the clock's, which the two don't share.
fn mtime(seconds: i64) -> Option<i64> {
    (seconds < 1_000_000).then_some(seconds)
}

impl From<&Stat> for Seen {
    fn from(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::SymLink,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => Kind::File,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: if kind == Kind::Directory { 0 } else { stat.st_size as u64 },
            device: stat.st_rdev,
            mtime: mtime(stat.st_mtime),
        }
    }
}

impl From<&Attr> for Seen {
    fn from(attr: &Attr) -> Self {
        Self {
            kind: attr.kind,
            mode: attr.mode,
            links: u64::from(attr.links),
            uid: attr.uid,
            gid: attr.gid,
            size: if attr.kind == Kind::Directory { 0 } else { attr.size },
            device: u64::from(attr.device),
            mtime: mtime(attr.mtime.seconds),
        }
    }
}
