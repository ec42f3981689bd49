//! Names: looking them up, making, linking, moving and removing them, listing them.

use rustix::io::Errno;

use super::answer::{Answer, Outcome, errno, mismatch};
use super::present::Present;
use super::convert;
use crate::fuse::kernel::{DirBuffer, FileKind, Header};
use crate::names::{self, Attr, Command, Consistency, Found, Inode, Make, Query, Refusal, Renaming, Special};

const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;

/// Entries asked for at once; about as many as fit into what the kernel has room for.
const ENTRIES_AT_ONCE: u32 = 128;

pub(super) fn lookup(present: &Present, parent: Inode, name: Vec<u8>) -> Outcome {
    find(present, parent, name).map(Answer::Entry)
}

pub(super) fn find(present: &Present, parent: Inode, name: Vec<u8>) -> Result<Attr, Errno> {
    match present.names.ask(&Query::Lookup { parent, name }).map_err(errno)? {
        Found::Attr(attr) => Ok(attr),
        _ => Err(mismatch("lookup")),
    }
}

/// A new entry of a directory. `Exists` is told apart, since an open that may also create goes on then.
pub(super) fn make(
    present: &Present,
    header: &Header,
    name: Vec<u8>,
    mode: u32,
    what: Make,
) -> Result<Attr, Errno> {
    let command = Command::Make {
        parent: header.inode,
        name,
        what,
        mode: mode & 0o7777,
        uid: header.uid,
        gid: header.gid,
        now: convert::now(),
    };
    attr_of(present, &command)
}

/// What mknod(2) makes.
pub(super) fn of_mode(mode: u32, device: u32, consistency: Consistency) -> Result<Make, Errno> {
    let special = |kind| Ok(Make::Special { kind, device });
    match FileKind::of_mode(mode) {
        Some(FileKind::File) => Ok(Make::File { consistency, address: None, size: 0 }),
        Some(FileKind::Fifo) => special(Special::Fifo),
        Some(FileKind::Socket) => special(Special::Socket),
        Some(FileKind::CharDevice) => special(Special::CharDevice),
        Some(FileKind::BlockDevice) => special(Special::BlockDevice),
        Some(FileKind::Directory) => Err(Errno::PERM),
        Some(FileKind::SymLink) | None => Err(Errno::INVAL),
    }
}

pub(super) fn link(present: &Present, inode: Inode, parent: Inode, name: Vec<u8>) -> Outcome {
    let command = Command::Link { inode, parent, name, now: convert::now() };
    attr_of(present, &command).map(Answer::Entry)
}

pub(super) fn unlink(present: &Present, parent: Inode, name: Vec<u8>) -> Outcome {
    let command = Command::Unlink { parent, name, now: convert::now() };
    present.names.run(&command).map_err(errno)?;
    Ok(Answer::Empty)
}

pub(super) fn rmdir(present: &Present, parent: Inode, name: Vec<u8>) -> Outcome {
    let command = Command::RmDir { parent, name, now: convert::now() };
    present.names.run(&command).map_err(errno)?;
    Ok(Answer::Empty)
}

pub(super) fn rename(
    present: &Present,
    (parent, name): (Inode, Vec<u8>),
    (new_parent, new_name): (Inode, Vec<u8>),
    flags: u32,
) -> Outcome {
    let how = match flags {
        0 => Renaming::Replace,
        RENAME_NOREPLACE => Renaming::NoReplace,
        RENAME_EXCHANGE => Renaming::Exchange,
        _ => return Err(Errno::INVAL),
    };
    let command = Command::Rename { parent, name, new_parent, new_name, how, now: convert::now() };
    present.names.run(&command).map_err(errno)?;
    Ok(Answer::Empty)
}

pub(super) fn read_link(present: &Present, inode: Inode) -> Outcome {
    match present.names.ask(&Query::ReadLink { inode }).map_err(errno)? {
        Found::Target(target) => Ok(Answer::Data(target)),
        _ => Err(mismatch("readlink")),
    }
}

pub(super) fn read_dir(present: &Present, inode: Inode, offset: u64, bytes_max: u32) -> Outcome {
    let mut entries = DirBuffer::new(bytes_max);
    let mut after = offset;
    loop {
        let query = Query::ReadDir { inode, after, max: ENTRIES_AT_ONCE };
        let found = match present.names.ask(&query) {
            Ok(Found::Entries(found)) => found,
            Ok(_) => return Err(mismatch("readdir")),
            // A directory that was removed while it is open is empty.
            Err(names::NameError::Refused(Refusal::Gone)) => return Ok(Answer::Directory(entries)),
            Err(error) => return Err(errno(error)),
        };
        for entry in &found {
            let name = std::os::unix::ffi::OsStrExt::from_bytes(entry.name.as_slice());
            if !entries.push(entry.inode, entry.cookie, convert::kind(entry.kind), name) {
                return Ok(Answer::Directory(entries));
            }
            after = entry.cookie;
        }
        if found.is_empty() {
            return Ok(Answer::Directory(entries));
        }
    }
}

/// Runs a command that answers with attributes.
pub(super) fn attr_of(present: &Present, command: &Command) -> Result<Attr, Errno> {
    match present.names.run(command).map_err(errno)?.answer {
        names::Answer::Attr(attr) => Ok(attr),
        _ => Err(mismatch("a command about one inode")),
    }
}
