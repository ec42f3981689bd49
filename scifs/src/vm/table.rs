//! The attached processes: all of them, and by file those that may map it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::process::Process;

#[derive(Debug, Default)]
struct Entries {
    all: HashMap<u64, Arc<Process>>,
    by_inode: HashMap<u64, Vec<Arc<Process>>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    entries: RwLock<Entries>,
    /// Rises with every process that may map a file more than before.
    version: AtomicU64,
    last: AtomicU64,
}

impl Table {
    pub(super) fn next_number(&self) -> u64 {
        // 0 is no process.
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn add(&self, process: &Arc<Process>, inodes: &[u64]) {
        for inode in inodes {
            self.link(process, *inode);
        }
        // Last: whoever drops it finds all of it.
        self.entries.write().all.insert(process.number, Arc::clone(process));
    }

    /// The process may map the file. True when it is the first.
    pub(super) fn link(&self, process: &Arc<Process>, inode: u64) -> bool {
        let mut entries = self.entries.write();
        let first = !entries.by_inode.contains_key(&inode);
        let linked = entries.by_inode.entry(inode).or_default();
        if !linked.iter().any(|known| known.number == process.number) {
            linked.push(Arc::clone(process));
        }
        self.version.fetch_add(1, Ordering::Release);
        first
    }

    /// True when nobody is left who may.
    pub(super) fn unlink(&self, number: u64, inode: u64) -> bool {
        let mut entries = self.entries.write();
        let Some(linked) = entries.by_inode.get_mut(&inode) else { return false };
        linked.retain(|known| known.number != number);
        linked.is_empty() && entries.by_inode.remove(&inode).is_some()
    }

    pub(super) fn remove(&self, number: u64) -> Option<Arc<Process>> {
        self.entries.write().all.remove(&number)
    }

    pub(super) fn get(&self, number: u64) -> Option<Arc<Process>> {
        self.entries.read().all.get(&number).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Process>> {
        self.entries.read().all.values().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.entries.read().all.len()
    }

    /// Who may map the file, and the version of this answer.
    pub(super) fn of(&self, inode: u64) -> (u64, Vec<Arc<Process>>) {
        let entries = self.entries.read();
        let version = self.version.load(Ordering::Acquire);
        (version, entries.by_inode.get(&inode).cloned().unwrap_or_default())
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn any(&self, inode: u64, is: impl Fn(&Process) -> bool) -> bool {
        // Not under the lock: whoever asks a process may wait for somebody who tells this table of its children.
        self.of(inode).1.iter().any(|process| is(process))
    }
}
