//! Where the part plugs in that shares a file's memory with programs directly. It outlives memberships, as open files do.

use std::sync::Arc;

use rustix::io::Errno;
use scifs_client::abi;

use super::handles::KeptOpen;
use crate::names::Inode;
use crate::node::{File, Pages};

/// What a program asks for with the ioctl ATTACH, and may have: it has the file open.
#[derive(Debug)]
pub struct Wanted {
    pub file: Arc<File>,
    /// Of the present membership.
    pub pages: Arc<Pages>,
    /// Of the open file; [`Attaching::released`] says when it is closed.
    pub handle: u64,
    /// Of the file, the same on every node.
    pub address: u64,
    pub size: u64,
    /// It was opened for writing, or the caller may do so.
    pub writable: bool,
    pub uid: u32,
    pub pid: u32,
    /// The file isn't deleted while somebody has this, even if nobody has it open any more.
    pub open: KeptOpen,
}

pub trait Attaching: Send + Sync + 'static {
    /// Gives out a ticket. May wait a little, on a thread for that.
    fn attach(&self, wanted: Wanted) -> Result<abi::Attach, Errno>;
    /// An open file was closed: its tickets are void. Must not wait.
    fn released(&self, handle: u64);
    /// A file's size has changed. May wait a little.
    fn resized(&self, inode: Inode, size: u64);
    /// How many programs share memory now.
    fn programs(&self) -> usize;
}
