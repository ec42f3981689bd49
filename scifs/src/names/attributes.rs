//! chmod, chown, utimes, and the times of writes. Who may do it was checked by the kernel.

use super::attr::{Inode, Time};
use super::command::{Answer, Changes};
use super::error::Refusal;
use super::node::MODE_BITS;
use super::state::Names;

impl Names {
    pub(super) fn set_attr(&mut self, inode: Inode, changes: &Changes, now: Time) -> Result<Answer, Refusal> {
        self.node(inode)?;
        if let Some(size) = changes.size {
            self.set_size(inode, size)?;
        }
        let node = self.node_mut(inode)?;
        let owner = changes.uid.is_some() || changes.gid.is_some();
        if changes.drop_privileges || (owner && changes.mode.is_none()) {
            node.drop_privileges();
        }
        node.mode = changes.mode.map_or(node.mode, |mode| mode & MODE_BITS);
        node.uid = changes.uid.unwrap_or(node.uid);
        node.gid = changes.gid.unwrap_or(node.gid);
        node.ctime = now;
        if changes.size.is_some() {
            node.mtime = now;
        }
        node.atime = changes.atime.unwrap_or(node.atime);
        node.mtime = changes.mtime.unwrap_or(node.mtime);
        self.attr(inode)
    }

    /// Times of writes are told late. What was set after the write stays: every such change has set `ctime`.
    pub(super) fn touch(&mut self, inode: Inode, written: Time) -> Result<Answer, Refusal> {
        let node = self.node_mut(inode)?;
        if written > node.ctime {
            node.changed(written);
        }
        self.attr(inode)
    }
}
