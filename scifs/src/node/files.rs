//! The files that this node has to do with, by inode. The table outlives memberships, since open files do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;
use scios::memory::Memory;

use super::fault::PageFault;
use super::file::File;
use super::layout::{self, generation_of};
use super::limits::GONE_FILES_MAX;
use crate::coherence::PageId;

/// More than a machine has threads that look files up at once.
const SHELVES: usize = 16;

#[derive(Debug)]
pub struct Files {
    memory: Arc<Memory>,
    shelves: [RwLock<HashMap<u64, Arc<File>>>; SHELVES],
    gone: RwLock<Gone>,
}

/// Files that were deleted a short while ago.
#[derive(Debug, Default)]
struct Gone {
    inodes: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Files {
    pub fn new(memory: &Arc<Memory>) -> Arc<Self> {
        let shelves = std::array::from_fn(|_| RwLock::default());
        Arc::new(Self { memory: Arc::clone(memory), shelves, gone: RwLock::default() })
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub fn get(&self, inode: u64) -> Option<Arc<File>> {
        self.shelf(inode).read().get(&inode).cloned()
    }

    /// The file, from now on known to this node.
    pub fn get_or_make(&self, inode: u64) -> Result<Arc<File>, PageFault> {
        if let Some(file) = self.get(inode) {
            return Ok(file);
        }
        let mut shelf = self.shelf(inode).write();
        if let Some(file) = shelf.get(&inode) {
            return Ok(Arc::clone(file));
        }
        let memory = self.memory.segment(&format!("scifs-{inode}")).map_err(|error| {
            tracing::error!(%error, inode, "no memory file for a file");
            PageFault::Memory
        })?;
        let file = Arc::new(File::new(inode, memory));
        shelf.insert(inode, Arc::clone(&file));
        Ok(file)
    }

    pub fn all(&self) -> Vec<Arc<File>> {
        self.shelves.iter().flat_map(|shelf| shelf.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// A deleted file. Its frames go with the last that uses it.
    pub(super) fn remove(&self, inode: u64) -> Option<Arc<File>> {
        let mut gone = self.gone.write();
        if gone.inodes.insert(inode) {
            gone.in_order.push_back(inode);
        }
        if gone.in_order.len() > GONE_FILES_MAX
            && let Some(oldest) = gone.in_order.pop_front()
        {
            gone.inodes.remove(&oldest);
        }
        drop(gone);
        self.shelf(inode).write().remove(&inode)
    }

    /// Whether nobody will ask for this page again: its file was deleted, or the whole segment cut off.
    pub(super) fn is_gone(&self, page: PageId) -> bool {
        let inode = layout::inode_of(page);
        match self.get(inode) {
            Some(file) => file.has_dropped(generation_of(page)),
            None => self.gone.read().inodes.contains(&inode),
        }
    }

    fn shelf(&self, inode: u64) -> &RwLock<HashMap<u64, Arc<File>>> {
        let [first, ..] = &self.shelves;
        self.shelves.get(inode as usize % SHELVES).unwrap_or(first)
    }
}
