//! The kernel's page cache behind the mount, as pages need it.

/// Implemented over the mount's notifications; a node without a mount has [`NoKernelCache`].
pub trait KernelCache: Send + Sync + 'static {
    /// Makes the kernel write back what is dirty in the range and drop all of it. Waits until that is done, so for
    /// `Pages::write_back` to be called by another worker.
    fn drop_pages(&self, inode: u64, offset: u64, bytes: u64);

    /// Whether the calling thread is one of those that serve the kernel's requests.
    fn is_worker(&self) -> bool;

    /// How many of those there are.
    fn workers(&self) -> usize;
}

/// For a node that nothing is mounted on.
#[derive(Clone, Copy, Debug)]
pub struct NoKernelCache;

impl KernelCache for NoKernelCache {
    fn drop_pages(&self, _: u64, _: u64, _: u64) {}

    fn is_worker(&self) -> bool {
        false
    }

    fn workers(&self) -> usize {
        0
    }
}
