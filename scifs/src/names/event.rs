//! What a change means for a node that has to do with the file: told by the replica of that node as it applies the log.

use super::attr::{Consistency, Inode, Layout};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The file is longer than it was.
    Grown { inode: Inode, size: u64 },
    /// The file was cut or a hole was punched: pages whose generation changed are zeros from now on.
    Relaid { inode: Inode, size: u64, layout: Layout },
    /// It has no name any more. If this node has it open, it says `LetGo` at its last close, else at once.
    Orphaned { inode: Inode },
    /// It is gone: whatever is known about it and all its generations is to be forgotten.
    Deleted { inode: Inode },
    /// Of an empty file.
    Consistency { inode: Inode, consistency: Consistency },
    /// This node has come to know all names anew (it joined, or lagged behind): events may be missing before this one.
    Restored,
}

/// Who is told. Called in the order of the log, while the cluster is locked: it must not wait, nor call the cluster or the
/// client.
pub trait Watch: Send + Sync + 'static {
    fn event(&self, index: u64, event: Event) -> Consequences;
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequences {
    /// Nothing is left to be done.
    Done,
    /// `consequences_done(index)` will be called once for this event.
    Later,
}

/// For tests, and for nodes that have nothing to do with files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatch;

impl Watch for NoWatch {
    fn event(&self, _index: u64, _event: Event) -> Consequences {
        Consequences::Done
    }
}
