//! Which threads may wait for the kernel. An invalidation waits until dirty pages were written back, and a worker has to
//! serve those WRITEs: so one worker at least never waits.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as one that reads requests.
pub(super) fn become_worker() {
    IS_WORKER.set(true);
}

/// Shared by all that send notifications to one mount.
#[derive(Debug)]
pub(super) struct Permits {
    free: AtomicUsize,
}

impl Permits {
    pub(super) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(workers.saturating_sub(1)) })
    }

    /// `None` for a worker that is the last one free. Threads that read no requests always may.
    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        if !IS_WORKER.get() {
            return Some(Permit { from: None });
        }
        let less_one = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, less_one).ok()?;
        Some(Permit { from: Some(Arc::clone(self)) })
    }
}

/// The right to wait for the kernel until it is dropped.
#[derive(Debug)]
pub struct Permit {
    /// `None` when nothing has to be given back.
    from: Option<Arc<Permits>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permits) = &self.from {
            permits.free.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_worker_may_not_wait() {
        let permits = Permits::new(2);
        let worker = std::thread::spawn(move || {
            become_worker();
            let first = permits.take();
            assert!(first.is_some());
            assert!(permits.take().is_none());
            let other = Arc::clone(&permits);
            let outsider = std::thread::spawn(move || other.take().is_some());
            assert!(outsider.join().unwrap(), "a thread that serves no requests may always wait");
            drop(first);
            assert!(permits.take().is_some());
        });
        worker.join().unwrap();
    }
}
