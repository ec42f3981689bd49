//! What the kernel is told without having asked.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::device::Device;

const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
const STORE: i32 = 4;
const DELETE: i32 = 6;

/// Sends notifications to one mount. None of them may be sent by a thread that holds what the handler of a WRITE needs,
/// or that has a READ of the same page to answer: the kernel waits for both. And of the workers ([`super::is_worker`]) one
/// at least must never wait in one, to serve those requests.
#[derive(Clone, Debug)]
pub struct Notifier {
    device: Arc<Device>,
}

impl Notifier {
    pub(super) fn new(device: Arc<Device>) -> Self {
        Self { device }
    }

    /// Writes dirty pages of the range back as WRITE requests, then drops all of them. True when this returns; false
    /// when the kernel knows no such inode, so that there was nothing to drop.
    pub fn inval_inode(&self, inode: u64, offset: u64, bytes: u64) -> io::Result<bool> {
        let parts = [inode.to_ne_bytes(), offset.to_ne_bytes(), bytes.to_ne_bytes()];
        self.send(INVAL_INODE, &[parts.as_flattened()])
    }

    /// Drops a name, so that the next look-up asks again.
    pub fn inval_entry(&self, parent: u64, name: &OsStr) -> io::Result<bool> {
        let mut fixed = [0; 16];
        fixed[..8].copy_from_slice(&parent.to_ne_bytes());
        fixed[8..12].copy_from_slice(&length(name.len())?);
        self.send(INVAL_ENTRY, &[&fixed, name.as_bytes(), b"\0"])
    }

    /// Drops a name that was removed elsewhere, and tells who watches the folder.
    pub fn delete(&self, parent: u64, child: u64, name: &OsStr) -> io::Result<bool> {
        let mut fixed = [0; 24];
        fixed[..8].copy_from_slice(&parent.to_ne_bytes());
        fixed[8..16].copy_from_slice(&child.to_ne_bytes());
        fixed[16..20].copy_from_slice(&length(name.len())?);
        self.send(DELETE, &[&fixed, name.as_bytes(), b"\0"])
    }

    /// Puts data into the page cache.
    pub fn store(&self, inode: u64, offset: u64, data: &[u8]) -> io::Result<bool> {
        let mut fixed = [0; 24];
        fixed[..8].copy_from_slice(&inode.to_ne_bytes());
        fixed[8..16].copy_from_slice(&offset.to_ne_bytes());
        fixed[16..20].copy_from_slice(&length(data.len())?);
        self.send(STORE, &[&fixed, data])
    }

    fn send(&self, code: i32, parts: &[&[u8]]) -> io::Result<bool> {
        match self.device.write(0, code, parts) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    u32::try_from(bytes).map(u32::to_ne_bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
