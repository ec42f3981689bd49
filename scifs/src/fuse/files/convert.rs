//! Names' words and the kernel's for the same things.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use scios::limits::PAGE_BYTES;

use crate::fuse::kernel::{Attr as KernelAttr, FileKind, SetTime};
use crate::names::{Attr, Kind, Time};
use crate::node::Files;

/// Nothing about names or attributes stays in the kernel: what one node changes, every node sees at once.
pub(super) const VALID: Duration = Duration::ZERO;

pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

pub(super) fn time(set: SetTime) -> Time {
    match set {
        SetTime::Now => now(),
        SetTime::At { seconds, nanos } => Time { seconds, nanos },
    }
}

pub(super) fn kind(kind: Kind) -> FileKind {
    match kind {
        Kind::File => FileKind::File,
        Kind::Directory => FileKind::Directory,
        Kind::SymLink => FileKind::SymLink,
        Kind::Fifo => FileKind::Fifo,
        Kind::Socket => FileKind::Socket,
        Kind::CharDevice => FileKind::CharDevice,
        Kind::BlockDevice => FileKind::BlockDevice,
    }
}

/// `files` tell what of it is here.
pub(super) fn attr(from: &Attr, files: &Files) -> KernelAttr {
    let pair = |time: Time| (time.seconds, time.nanos);
    KernelAttr {
        inode: from.inode,
        kind: kind(from.kind),
        size: from.size,
        blocks_512: blocks(from, files),
        atime: pair(from.atime),
        mtime: pair(from.mtime),
        ctime: pair(from.ctime),
        permissions: from.mode,
        links: from.links,
        uid: from.uid,
        gid: from.gid,
        device: from.device,
        block_bytes: PAGE_BYTES as u32,
    }
}

/// What of a file is on this node: less than its size, so programs that copy ask where its holes are. Never 0 for a file with
/// content: some would take it for one hole without asking.
fn blocks(attr: &Attr, files: &Files) -> u64 {
    let whole = attr.size.next_multiple_of(PAGE_BYTES as u64) / 512;
    if attr.kind != Kind::File {
        return whole;
    }
    let resident = files.get(attr.inode).map_or(0, |file| file.memory().resident_pages());
    (resident * (PAGE_BYTES as u64 / 512)).clamp(whole.min(1), whole)
}
