//! Brings shards back to pages whose hold time is over. One thread; it sleeps until the next one is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use scios::Nanos;
use scios::verbs::Fabric;

use super::pages::Pages;
use crate::coherence::{Input, PageId};

pub(super) struct Timers(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Fabric>,
    due: Mutex<Due>,
    changed: Condvar,
}

#[derive(Default)]
struct Due {
    next: BinaryHeap<Reverse<(Nanos, usize, PageId)>>,
    stopped: bool,
}

impl Timers {
    pub(super) fn start(pages: &Weak<Pages>, clock: Arc<dyn Fabric>) -> Self {
        let shared = Arc::new(Shared { clock, due: Mutex::default(), changed: Condvar::new() });
        let (pages, theirs) = (Weak::clone(pages), Arc::clone(&shared));
        let thread =
            std::thread::Builder::new().name("page-timers".into()).spawn(move || theirs.work(&pages));
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start the timers' thread; contended pages will not be given on");
        }
        Self(shared)
    }

    /// Called under the shard's lock.
    pub(super) fn set(&self, at: Nanos, shard: usize, page: PageId) {
        let mut due = self.0.due.lock();
        let first = due.next.peek().is_none_or(|Reverse((next, ..))| at < *next);
        due.next.push(Reverse((at, shard, page)));
        drop(due);
        if first {
            self.0.changed.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.0.due.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn work(&self, pages: &Weak<Pages>) {
        while let Some((shard, page)) = self.wait() {
            let Some(pages) = pages.upgrade() else { return };
            pages.apply(shard, Input::Timer { page });
        }
    }

    /// The next that is due; nothing when it was stopped.
    fn wait(&self) -> Option<(usize, PageId)> {
        let mut due = self.due.lock();
        while !due.stopped {
            let now = self.clock.now();
            match due.next.peek().copied() {
                Some(Reverse((at, shard, page))) if at <= now => {
                    due.next.pop();
                    return Some((shard, page));
                }
                Some(Reverse((at, ..))) => {
                    self.changed.wait_for(&mut due, at.since(now));
                }
                None => self.changed.wait(&mut due),
            }
        }
        None
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("waiting", &self.0.due.lock().next.len()).finish()
    }
}
