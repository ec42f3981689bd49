//! The kernel's page cache behind the mount, as pages see it.

use std::sync::OnceLock;

use crate::fuse::kernel::{Notifier, is_worker};
use crate::node::KernelCache;

/// Exists before the mount does; until then, and on a node without a mount, there is nothing to drop.
#[derive(Debug)]
pub(super) struct MountedCache {
    notifier: OnceLock<Notifier>,
    workers: usize,
}

impl MountedCache {
    pub(super) fn new(workers: usize) -> Self {
        Self { notifier: OnceLock::new(), workers }
    }

    pub(super) fn mounted(&self, notifier: Notifier) {
        if self.notifier.set(notifier).is_err() {
            tracing::error!("a node was mounted twice");
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
