//! Opening and closing files.

use std::sync::atomic::AtomicBool;

use rustix::io::Errno;

use super::Inner;
use super::answer::{Answer, Outcome};
use super::handles::Handle;
use super::lanes::Lane;
use super::naming;
use super::present::Present;
use crate::fuse::kernel::Header;
use crate::locks::Space;
use crate::names::{Attr, Inode, Make, Refusal};

const O_ACCESS_MODE: u32 = 3;
const O_RDONLY: u32 = 0;
const O_WRONLY: u32 = 1;
const O_EXCL: u32 = 0o200;

/// Bits that a write by others than root takes from a file.
pub(super) const PRIVILEGES: u32 = 0o6000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    readable: bool,
    writable: bool,
}

impl Access {
    pub(super) fn of_flags(flags: u32) -> Self {
        let mode = flags & O_ACCESS_MODE;
        Self { readable: mode != O_WRONLY, writable: mode != O_RDONLY }
    }

    pub(super) fn is_readable(self) -> bool {
        self.readable
    }

    pub(super) fn is_writable(self) -> bool {
        self.writable
    }

    /// Whether a mapping can write: a shared writable mapping needs a file that can be read as well.
    pub(super) fn maps_for_writing(self) -> bool {
        self.readable && self.writable
    }
}

/// Whoever opens a file in a way that maps for writing may have to wait for the kernel.
pub(super) fn lane(flags: u32) -> Lane {
    if Access::of_flags(flags).maps_for_writing() { Lane::Settle } else { Lane::Ask }
}

/// Waits for the kernel if it is the first open that can map for writing: pages that are mapped for reading are
/// dropped, since the kernel wouldn't tell when one is written to.
pub(super) fn open(inner: &Inner, present: &Present, inode: Inode, flags: u32) -> Outcome {
    open_handle(inner, present, inode, Access::of_flags(flags)).map(|(_, handle)| Answer::Opened(handle))
}

fn open_handle(inner: &Inner, present: &Present, inode: Inode, access: Access) -> Result<(Attr, u64), Errno> {
    inner.opens.count(inode)?;
    let opened = open_counted(inner, present, inode, access);
    if opened.is_err() && inner.opens.close(inode) {
        inner.let_go(inode);
    }
    opened
}

fn open_counted(
    inner: &Inner,
    present: &Present,
    inode: Inode,
    access: Access,
) -> Result<(Attr, u64), Errno> {
    let info = present.info(inode)?;
    let file = present.file(&info)?;
    if access.maps_for_writing() {
        present.pages.begin_writing(&file);
    }
    let handle = Handle {
        inode,
        file,
        maps_for_writing: access.maps_for_writing(),
        readable: access.is_readable(),
        writable: access.is_writable(),
        privileged: AtomicBool::new(info.attr.mode & PRIVILEGES != 0),
    };
    Ok((info.attr, inner.opens.insert(handle)))
}

/// Makes and opens a file; opens it if somebody else has made it meanwhile, unless it must be new.
pub(super) fn create(
    inner: &Inner,
    present: &Present,
    header: &Header,
    name: Vec<u8>,
    (flags, mode): (u32, u32),
) -> Outcome {
    let what = Make::File { consistency: inner.consistency, address: None, size: 0 };
    let inode = match naming::make(present, header, name.clone(), mode, what) {
        Ok(attr) => attr.inode,
        Err(errno) if errno == Refusal::Exists.errno() && flags & O_EXCL == 0 => {
            naming::find(present, header.inode, name)?.inode
        }
        Err(errno) => return Err(errno),
    };
    let (attr, handle) = open_handle(inner, present, inode, Access::of_flags(flags))?;
    Ok(Answer::Created(attr, handle))
}

/// The last close of a handle. Nobody waits for it. `flock` names the owner if it may have locked the file.
pub(super) fn release(inner: &Inner, (number, inode): (u64, Inode), flock: Option<u64>) {
    let Some(handle) = inner.opens.remove(number) else { return };
    if let Some(attaching) = inner.attaching.get() {
        attaching.released(number);
    }
    if let Ok(present) = inner.present() {
        if handle.maps_for_writing {
            present.pages.end_writing(&handle.file);
        }
        if let Ok(locks) = present.locks() {
            if let Some(owner) = flock {
                locks.release_owner(inode, Space::Flock, owner, || {});
            }
            // Record locks of the open file itself: the kernel doesn't say that they end.
            locks.release_handle(inode, number);
        }
    }
    if inner.opens.close(inode) {
        inner.let_go(inode);
    }
}
