//! What the kernel asks: one request from its bytes. Pure. The layouts are those of `linux/fuse.h`, version 7.31 and
//! later; a request that is shorter than its layout is refused with EINVAL and harms nobody.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use scios::rpc::codec::{DecodeError, Reader};

use super::ioctl::{Ioctl, ioctl};

/// Who asks, and about which inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Names the request until it is answered; an interrupt refers to it.
    pub unique: u64,
    pub inode: u64,
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
}

/// A byte-range lock, as `fcntl(2)` has it; `end` is inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLock {
    pub start: u64,
    pub end: u64,
    /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
    pub kind: u32,
    pub pid: u32,
}

/// A point in time that a request sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    Now,
    At { seconds: i64, nanos: u32 },
}

/// What SETATTR changes; `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    pub handle: Option<u64>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<SetTime>,
    pub mtime: Option<SetTime>,
    pub ctime: Option<SetTime>,
}

/// One inode that the kernel forgets, and how many of its look-ups that undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget {
    pub inode: u64,
    pub lookups: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    Lookup {
        name: &'a OsStr,
    },
    /// Not answered.
    Forget(Vec<Forget>),
    GetAttr {
        handle: Option<u64>,
    },
    SetAttr(SetAttr),
    ReadLink,
    SymLink {
        name: &'a OsStr,
        target: &'a OsStr,
    },
    MkNod {
        name: &'a OsStr,
        mode: u32,
        device: u32,
        umask: u32,
    },
    MkDir {
        name: &'a OsStr,
        mode: u32,
        umask: u32,
    },
    Unlink {
        name: &'a OsStr,
    },
    RmDir {
        name: &'a OsStr,
    },
    Rename {
        name: &'a OsStr,
        new_parent: u64,
        new_name: &'a OsStr,
        flags: u32,
    },
    Link {
        inode: u64,
        name: &'a OsStr,
    },
    Open {
        flags: u32,
    },
    Create {
        name: &'a OsStr,
        flags: u32,
        mode: u32,
        umask: u32,
    },
    /// `from_cache`: the kernel fills a page that somebody has mapped, nobody called read(2).
    Read {
        handle: u64,
        offset: u64,
        bytes: u32,
        from_cache: bool,
    },
    /// `from_cache`: the kernel writes back a dirty mapped page, nobody called write(2).
    Write {
        handle: u64,
        offset: u64,
        data: &'a [u8],
        from_cache: bool,
        /// The writer may not keep set-user-id and set-group-id bits on the file.
        kill_privileges: bool,
        flags: u32,
    },
    StatFs,
    Release {
        handle: u64,
        lock_owner: u64,
        unlock_flock: bool,
    },
    FSync {
        handle: u64,
        data_only: bool,
    },
    SetXattr {
        name: &'a OsStr,
        value: &'a [u8],
        flags: u32,
    },
    GetXattr {
        name: &'a OsStr,
        bytes_max: u32,
    },
    ListXattr {
        bytes_max: u32,
    },
    RemoveXattr {
        name: &'a OsStr,
    },
    Flush {
        handle: u64,
        lock_owner: u64,
    },
    OpenDir {
        flags: u32,
    },
    ReadDir {
        handle: u64,
        offset: u64,
        bytes_max: u32,
    },
    ReleaseDir {
        handle: u64,
    },
    FSyncDir,
    Access {
        mask: u32,
    },
    GetLock {
        handle: u64,
        owner: u64,
        lock: FileLock,
    },
    /// `flock`: for the whole file and owned by the open file, not by the process.
    SetLock {
        handle: u64,
        owner: u64,
        lock: FileLock,
        flock: bool,
        wait: bool,
    },
    /// Not answered when it is heeded: the request that it names is, with EINTR.
    Interrupt {
        unique: u64,
    },
    FAllocate {
        handle: u64,
        offset: u64,
        bytes: u64,
        mode: u32,
    },
    LSeek {
        handle: u64,
        offset: u64,
        whence: u32,
    },
    Ioctl(Ioctl<'a>),
    /// The mount is gone.
    Destroy,
    /// Something this file system doesn't do; answered with ENOSYS, which the kernel remembers.
    Unknown {
        opcode: u32,
    },
}

/// The first request of a mount, alone of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) max_readahead: u32,
    pub(super) flags: u64,
}

pub(super) const OPCODE_INIT: u32 = 26;

/// There are more than 32 flags.
pub(super) const INIT_EXT: u64 = 1 << 30;
const GETATTR_FH: u32 = 1;
const WRITE_CACHE: u32 = 1;
const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// Set for every read(2), never for the page cache's own reads.
const READ_LOCKOWNER: u32 = 1 << 1;
const RELEASE_FLOCK_UNLOCK: u32 = 2;
const LK_FLOCK: u32 = 1;
const FSYNC_FDATASYNC: u32 = 1;

const FATTR_MODE: u32 = 1;
const FATTR_UID: u32 = 1 << 1;
const FATTR_GID: u32 = 1 << 2;
const FATTR_SIZE: u32 = 1 << 3;
const FATTR_ATIME: u32 = 1 << 4;
const FATTR_MTIME: u32 = 1 << 5;
const FATTR_FH: u32 = 1 << 6;
const FATTR_ATIME_NOW: u32 = 1 << 7;
const FATTR_MTIME_NOW: u32 = 1 << 8;
const FATTR_CTIME: u32 = 1 << 10;

/// The header and what follows it. The opcode tells which layout that has.
pub(super) fn header(bytes: &[u8]) -> Result<(Header, u32, Reader<'_>), DecodeError> {
    let mut from = Reader::new(bytes);
    let _length = from.u32()?;
    let opcode = from.u32()?;
    let header = Header {
        unique: from.u64()?,
        inode: from.u64()?,
        uid: from.u32()?,
        gid: from.u32()?,
        pid: from.u32()?,
    };
    let _extensions = from.u32()?;
    Ok((header, opcode, from))
}

pub(super) fn init(from: &mut Reader<'_>) -> Result<Init, DecodeError> {
    let (major, minor, max_readahead) = (from.u32()?, from.u32()?, from.u32()?);
    let low = u64::from(from.u32()?);
    let high = if low & INIT_EXT != 0 { u64::from(from.u32()?) } else { 0 };
    Ok(Init { major, minor, max_readahead, flags: low | high << 32 })
}

/// Everything but INIT.
pub(super) fn operation<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    use Operation as Op;
    Ok(match opcode {
        1 => Op::Lookup { name: name(from)? },
        2 | 42 => forgets(opcode, from)?,
        3 => {
            let (flags, _) = (from.u32()?, from.u32()?);
            let handle = from.u64()?;
            Op::GetAttr { handle: (flags & GETATTR_FH != 0).then_some(handle) }
        }
        4 => Op::SetAttr(set_attr(from)?),
        5 => Op::ReadLink,
        6..=13 | 35 | 45 => naming(opcode, from)?,
        14 => {
            let (flags, _) = (from.u32()?, from.u32()?);
            Op::Open { flags }
        }
        15 => {
            let (handle, offset) = (from.u64()?, from.u64()?);
            let (bytes, read_flags) = (from.u32()?, from.u32()?);
            Op::Read { handle, offset, bytes, from_cache: read_flags & READ_LOCKOWNER == 0 }
        }
        16 => write(from)?,
        17 => Op::StatFs,
        18 | 29 => release(opcode, from)?,
        20 => {
            let handle = from.u64()?;
            Op::FSync { handle, data_only: from.u32()? & FSYNC_FDATASYNC != 0 }
        }
        21..=24 => xattr(opcode, from)?,
        25 => {
            let (handle, _) = (from.u64()?, from.u64()?);
            Op::Flush { handle, lock_owner: from.u64()? }
        }
        27 => Op::OpenDir { flags: from.u32()? },
        28 => {
            let (handle, offset) = (from.u64()?, from.u64()?);
            Op::ReadDir { handle, offset, bytes_max: from.u32()? }
        }
        30 => Op::FSyncDir,
        31..=33 => lock(opcode, from)?,
        34 => Op::Access { mask: from.u32()? },
        36 => Op::Interrupt { unique: from.u64()? },
        38 => Op::Destroy,
        39 => Op::Ioctl(ioctl(from)?),
        43 => {
            let (handle, offset, bytes) = (from.u64()?, from.u64()?, from.u64()?);
            Op::FAllocate { handle, offset, bytes, mode: from.u32()? }
        }
        46 => {
            let (handle, offset) = (from.u64()?, from.u64()?);
            Op::LSeek { handle, offset, whence: from.u32()? }
        }
        opcode => Op::Unknown { opcode },
    })
}

/// Operations that make, remove or move a name.
fn naming<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    use Operation as Op;
    Ok(match opcode {
        6 => Op::SymLink { name: name(from)?, target: name(from)? },
        8 => {
            let (mode, device, umask, _) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
            Op::MkNod { name: name(from)?, mode, device, umask }
        }
        9 => {
            let (mode, umask) = (from.u32()?, from.u32()?);
            Op::MkDir { name: name(from)?, mode, umask }
        }
        10 => Op::Unlink { name: name(from)? },
        11 => Op::RmDir { name: name(from)? },
        12 => {
            let new_parent = from.u64()?;
            Op::Rename { new_parent, name: name(from)?, new_name: name(from)?, flags: 0 }
        }
        45 => {
            let (new_parent, flags, _) = (from.u64()?, from.u32()?, from.u32()?);
            Op::Rename { new_parent, name: name(from)?, new_name: name(from)?, flags }
        }
        13 => {
            let inode = from.u64()?;
            Op::Link { inode, name: name(from)? }
        }
        35 => {
            let (flags, mode, umask, _) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
            Op::Create { name: name(from)?, flags, mode, umask }
        }
        opcode => Op::Unknown { opcode },
    })
}

fn forgets<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    if opcode == 2 {
        // The inode of a single FORGET is the header's: 0 stands for it until the caller fills it in.
        return Ok(Operation::Forget(vec![Forget { inode: 0, lookups: from.u64()? }]));
    }
    let (count, _) = (from.u32()?, from.u32()?);
    // 16 bytes each: what is not there can't be announced into existence.
    let mut list = Vec::with_capacity((count as usize).min(from.left() / 16));
    for _ in 0..count {
        list.push(Forget { inode: from.u64()?, lookups: from.u64()? });
    }
    Ok(Operation::Forget(list))
}

fn set_attr(from: &mut Reader<'_>) -> Result<SetAttr, DecodeError> {
    let (valid, _) = (from.u32()?, from.u32()?);
    let has = |flag: u32| valid & flag != 0;
    let (handle, size, _lock_owner) = (from.u64()?, from.u64()?, from.u64()?);
    let seconds = [from.i64()?, from.i64()?, from.i64()?];
    let nanos = [from.u32()?, from.u32()?, from.u32()?];
    let (mode, _, uid, gid) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    let time = |which: usize, set: u32, now: u32| match (has(set), has(now)) {
        (_, true) => Some(SetTime::Now),
        (true, false) => Some(SetTime::At { seconds: seconds[which], nanos: nanos[which] }),
        (false, false) => None,
    };
    Ok(SetAttr {
        handle: has(FATTR_FH).then_some(handle),
        mode: has(FATTR_MODE).then_some(mode),
        uid: has(FATTR_UID).then_some(uid),
        gid: has(FATTR_GID).then_some(gid),
        size: has(FATTR_SIZE).then_some(size),
        atime: time(0, FATTR_ATIME, FATTR_ATIME_NOW),
        mtime: time(1, FATTR_MTIME, FATTR_MTIME_NOW),
        ctime: time(2, FATTR_CTIME, 0),
    })
}

fn write<'a>(from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    let (handle, offset, bytes) = (from.u64()?, from.u64()?, from.u32()?);
    let (write_flags, _lock_owner, flags, _) = (from.u32()?, from.u64()?, from.u32()?, from.u32()?);
    let data = from.raw(bytes as usize)?;
    let has = |flag| write_flags & flag != 0;
    Ok(Operation::Write {
        handle,
        offset,
        data,
        from_cache: has(WRITE_CACHE),
        kill_privileges: has(WRITE_KILL_SUIDGID),
        flags,
    })
}

fn release<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    let (handle, _flags, release_flags) = (from.u64()?, from.u32()?, from.u32()?);
    let lock_owner = from.u64()?;
    if opcode == 29 {
        return Ok(Operation::ReleaseDir { handle });
    }
    let unlock_flock = release_flags & RELEASE_FLOCK_UNLOCK != 0;
    Ok(Operation::Release { handle, lock_owner, unlock_flock })
}

fn xattr<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    if opcode == 24 {
        return Ok(Operation::RemoveXattr { name: name(from)? });
    }
    let (bytes, flags_or_padding) = (from.u32()?, from.u32()?);
    Ok(match opcode {
        21 => {
            let name = name(from)?;
            let value = from.raw(bytes as usize)?;
            Operation::SetXattr { name, value, flags: flags_or_padding }
        }
        22 => Operation::GetXattr { name: name(from)?, bytes_max: bytes },
        _ => Operation::ListXattr { bytes_max: bytes },
    })
}

fn lock<'a>(opcode: u32, from: &mut Reader<'a>) -> Result<Operation<'a>, DecodeError> {
    let (handle, owner) = (from.u64()?, from.u64()?);
    let lock = FileLock { start: from.u64()?, end: from.u64()?, kind: from.u32()?, pid: from.u32()? };
    if opcode == 31 {
        return Ok(Operation::GetLock { handle, owner, lock });
    }
    let flock = from.u32()? & LK_FLOCK != 0;
    Ok(Operation::SetLock { handle, owner, lock, flock, wait: opcode == 33 })
}

/// A name ends with a zero byte.
fn name<'a>(from: &mut Reader<'a>) -> Result<&'a OsStr, DecodeError> {
    let ahead = from.clone().rest();
    // Without a zero byte this asks for one byte more than there are, which is the error to give.
    let bytes = ahead.iter().position(|&byte| byte == 0).unwrap_or(ahead.len());
    let name = from.raw(bytes)?;
    from.u8()?;
    Ok(OsStr::from_bytes(name))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
