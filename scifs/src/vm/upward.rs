//! What is needed of the node's other parts.

use std::sync::Arc;

use rustix::io::Errno;

use crate::node::{File, Pages};

pub type SizeDone = Box<dyn FnOnce(Result<u64, Errno>) + Send>;

pub trait Upward: Send + Sync + 'static {
    /// Of the present membership; nothing between two of them.
    fn pages(&self) -> Option<Arc<Pages>>;

    /// How long the file is by now, as the whole cluster knows it. `done` runs on another thread; never if this is
    /// false.
    fn ask_size(&self, file: &Arc<File>, done: SizeDone) -> bool;

    /// A program may be writing to the file.
    fn written(&self, inode: u64);
}
