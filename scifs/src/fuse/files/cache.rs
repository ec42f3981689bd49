//! The kernel's page cache behind the mount, as pages see it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::attaching::Attaching;
use crate::fuse::kernel::{Notifier, is_worker};
use crate::node::KernelCache;

/// Exists before the mount does; until then, and on a node without a mount, there is nothing to drop.
pub(super) struct MountedCache {
    notifier: OnceLock<Notifier>,
    workers: usize,
    /// Other programs than the kernel that have pages.
    attaching: OnceLock<Arc<dyn Attaching>>,
}

impl MountedCache {
    pub(super) fn new(workers: usize) -> Self {
        Self { notifier: OnceLock::new(), workers, attaching: OnceLock::new() }
    }

    pub(super) fn share(&self, attaching: &Arc<dyn Attaching>) {
        self.attaching.get_or_init(|| Arc::clone(attaching));
    }

    pub(super) fn mounted(&self, notifier: Notifier) {
        if self.notifier.set(notifier).is_err() {
            tracing::error!("a node was mounted twice");
        }
    }

    /// Mappings of the file reach up to here now.
    pub(super) fn grow(&self, inode: u64, size: u64) {
        if let Some(attaching) = self.attaching.get() {
            attaching.resized(inode, size);
        }
        let Some(notifier) = self.notifier.get() else { return };
        if let Err(error) = notifier.grow(inode, size) {
            tracing::debug!(%error, inode, size, "the kernel was not told that a file has grown");
        }
    }

    pub(super) fn drop_all(&self, inode: u64) {
        // A length of 0 stands for everything behind the offset.
        self.drop_pages(inode, 0, 0);
    }
}

impl KernelCache for MountedCache {
    fn drop_pages(&self, inode: u64, offset: u64, bytes: u64) {
        let Some(notifier) = self.notifier.get() else { return };
        if let Err(error) = notifier.inval_inode(inode, offset, bytes) {
            // The mount is gone, and its page cache with it.
            tracing::debug!(%error, inode, "the kernel did not drop pages");
        }
    }

    fn is_worker(&self) -> bool {
        is_worker()
    }

    fn workers(&self) -> usize {
        self.workers
    }
}

impl fmt::Debug for MountedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountedCache").field("workers", &self.workers).finish_non_exhaustive()
    }
}
