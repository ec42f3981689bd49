//! What this node's processes have open: handles, and for each inode how many there are.
//!
//! An open is counted before names are asked about the inode, and an orphan is let go of only while nothing is counted: so
//! the cluster never deletes a file between the look-up of its name and the end of its opening.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use super::Inner;
use crate::names::Inode;
use crate::node::File;

/// One open file. Directories have none: their names are asked for afresh.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) inode: Inode,
    pub(super) file: Arc<File>,
    pub(super) maps_for_writing: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The file has bits that a write by others than root takes away.
    pub(super) privileged: AtomicBool,
}

/// A file counts as open on this node as long as this is there.
pub struct KeptOpen {
    inner: Weak<Inner>,
    inode: Inode,
}

impl KeptOpen {
    pub(super) fn new(inner: &Arc<Inner>, inode: Inode) -> Result<Self, Errno> {
        inner.opens.count(inode)?;
        Ok(Self { inner: Arc::downgrade(inner), inode })
    }
}

impl Drop for KeptOpen {
    fn drop(&mut self) {
        // Without the mount nobody is left who would tell the cluster.
        if let Some(inner) = self.inner.upgrade()
            && inner.opens.close(self.inode)
        {
            inner.let_go(self.inode);
        }
    }
}

impl fmt::Debug for KeptOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptOpen").field("inode", &self.inode).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Use {
    opens: u32,
    /// It has no name any more.
    orphan: bool,
    /// Truncations by this node's processes under way. The kernel writes nothing of the inode back until they are answered,
    /// and then drops all of its pages by itself.
    truncations: u32,
    /// Pages were cut off meanwhile.
    cut: bool,
}

#[derive(Debug, Default)]
struct Uses {
    by_inode: HashMap<Inode, Use>,
    /// Orphans that this node has said it doesn't need, until they are deleted.
    let_go: HashSet<Inode>,
}

impl Uses {
    fn forget_if_idle(&mut self, inode: Inode) {
        if self.by_inode.get(&inode).is_some_and(|known| known.opens == 0 && known.truncations == 0) {
            self.by_inode.remove(&inode);
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    handles: HashMap<u64, Arc<Handle>>,
}

#[derive(Debug, Default)]
pub(super) struct Opens {
    uses: Mutex<Uses>,
    table: RwLock<Table>,
}

impl Opens {
    /// Counts an open that begins; [`Self::close`] takes it back.
    pub(super) fn count(&self, inode: Inode) -> Result<(), Errno> {
        let mut uses = self.uses.lock();
        if uses.let_go.contains(&inode) {
            return Err(Errno::STALE);
        }
        uses.by_inode.entry(inode).or_default().opens += 1;
        Ok(())
    }

    /// True when it has no name and nobody here has it open any more: the cluster is to be told.
    pub(super) fn close(&self, inode: Inode) -> bool {
        let mut uses = self.uses.lock();
        let Some(known) = uses.by_inode.get_mut(&inode) else { return false };
        known.opens = known.opens.saturating_sub(1);
        let let_go = known.opens == 0 && known.orphan;
        if let_go {
            uses.let_go.insert(inode);
        }
        uses.forget_if_idle(inode);
        let_go
    }

    /// The last name of an inode is gone. True: nobody here has it open, the cluster is to be told.
    pub(super) fn orphaned(&self, inode: Inode) -> bool {
        let mut uses = self.uses.lock();
        match uses.by_inode.get_mut(&inode) {
            Some(known) if known.opens > 0 => {
                known.orphan = true;
                false
            }
            _ => uses.let_go.insert(inode),
        }
    }

    pub(super) fn deleted(&self, inode: Inode) {
        self.uses.lock().let_go.remove(&inode);
    }

    /// Names were learned anew, maybe without deletions that happened meanwhile.
    pub(super) fn forget_let_go(&self) {
        self.uses.lock().let_go.clear();
    }

    pub(super) fn is_open(&self, inode: Inode) -> bool {
        self.uses.lock().by_inode.get(&inode).is_some_and(|known| known.opens > 0)
    }

    pub(super) fn begin_truncation(&self, inode: Inode) {
        self.uses.lock().by_inode.entry(inode).or_default().truncations += 1;
    }

    /// True when pages were cut off since the first of those that are under way began.
    pub(super) fn end_truncation(&self, inode: Inode) -> bool {
        let mut uses = self.uses.lock();
        let Some(known) = uses.by_inode.get_mut(&inode) else { return false };
        known.truncations = known.truncations.saturating_sub(1);
        let cut = known.truncations == 0 && std::mem::take(&mut known.cut);
        uses.forget_if_idle(inode);
        cut
    }

    /// Pages of the file were cut off. True while a process of this node is truncating it: then the kernel will drop them by
    /// itself, and to wait for it would be to wait for oneself.
    pub(super) fn cut(&self, inode: Inode) -> bool {
        match self.uses.lock().by_inode.get_mut(&inode) {
            Some(known) if known.truncations > 0 => {
                known.cut = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn insert(&self, handle: Handle) -> u64 {
        let mut table = self.table.write();
        table.last += 1;
        let number = table.last;
        table.handles.insert(number, Arc::new(handle));
        number
    }

    pub(super) fn get(&self, number: u64) -> Result<Arc<Handle>, Errno> {
        self.table.read().handles.get(&number).map(Arc::clone).ok_or(Errno::BADF)
    }

    pub(super) fn remove(&self, number: u64) -> Option<Arc<Handle>> {
        self.table.write().handles.remove(&number)
    }

    /// The mode of an inode was changed here.
    pub(super) fn set_privileged(&self, inode: Inode, privileged: bool) {
        for handle in self.table.read().handles.values().filter(|handle| handle.inode == inode) {
            handle.privileged.store(privileged, Ordering::Relaxed);
        }
    }

    /// What is open, and how often handles were opened and not closed.
    pub(super) fn inodes(&self) -> Vec<Inode> {
        self.uses.lock().by_inode.keys().copied().collect()
    }

    pub(super) fn handles(&self) -> usize {
        self.table.read().handles.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_let_go_of_at_the_last_close_and_not_opened_again() {
        let opens = Opens::default();
        assert_eq!(opens.count(7), Ok(()));
        assert_eq!(opens.count(7), Ok(()));
        assert!(!opens.orphaned(7));
        assert!(!opens.close(7));
        assert!(opens.close(7));
        assert_eq!(opens.count(7), Err(Errno::STALE));
        opens.deleted(7);
        assert!(opens.inodes().is_empty());
    }

    #[test]
    fn an_orphan_that_nobody_has_open_is_let_go_of_once() {
        let opens = Opens::default();
        assert!(opens.orphaned(7));
        assert!(!opens.orphaned(7));
    }

    #[test]
    fn a_truncation_is_known_until_its_end_also_of_a_file_that_is_not_open() {
        let opens = Opens::default();
        assert!(!opens.cut(7));
        opens.begin_truncation(7);
        assert!(opens.cut(7));
        assert!(!opens.close(7));
        assert!(opens.end_truncation(7));
        assert!(!opens.cut(7));
        assert!(opens.inodes().is_empty());
    }
}
