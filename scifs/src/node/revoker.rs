//! Takes pages back from the kernel's cache, with no lock held.
//!
//! The thread that the need arises on does it itself, which saves a wake-up. Only workers have to take care: while one of them
//! waits for the kernel, another one must be free to take what the kernel writes back. So all but one of them may wait at a
//! time, and what is beyond that goes to a thread of its own.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use scios::limits::PAGE_BYTES;

use super::layout::inode_of;
use super::pages::Pages;
use super::shard::number_of;
use super::turn::After;
use crate::coherence::{Input, MapperId, PageId};

/// Neighbouring pages of one extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) first: PageId,
    pub(super) pages: u16,
}

type Job = Box<dyn FnOnce(&Arc<Pages>) + Send>;

pub(super) struct Revoker {
    permits: AtomicUsize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    changed: Condvar,
}

impl Revoker {
    pub(super) fn start(name: &str, pages: &Weak<Pages>, permits: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let (pages, theirs) = (Weak::clone(pages), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || theirs.work(&pages));
        if let Err(error) = thread {
            tracing::error!(%error, name, "cannot start a thread; pages stay with the kernel for longer");
        }
        Self { permits: AtomicUsize::new(permits), shared }
    }

    pub(super) fn push(&self, job: impl FnOnce(&Arc<Pages>) + Send + 'static) {
        self.shared.jobs.lock().0.push_back(Box::new(job));
        self.shared.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.shared.jobs.lock().1 = true;
        self.shared.changed.notify_all();
    }

    fn permit(&self) -> Option<Permit<'_>> {
        let less = |permits: usize| permits.checked_sub(1);
        self.permits
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .ok()
            .map(|_| Permit(&self.permits))
    }
}

struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn work(&self, pages: &Weak<Pages>) {
        loop {
            let job = {
                let mut jobs = self.jobs.lock();
                loop {
                    match jobs.0.pop_front() {
                        Some(job) => break job,
                        None if jobs.1 => return,
                        None => self.changed.wait(&mut jobs),
                    }
                }
            };
            let Some(pages) = pages.upgrade() else { return };
            job(&pages);
        }
    }
}

impl Drop for Revoker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Pages {
    /// Takes pages from the kernel that were put into their shards' `dropping`.
    pub(super) fn revoke(self: &Arc<Self>, pages: Vec<PageId>, after: &mut After) {
        if pages.is_empty() {
            return;
        }
        let worker = self.cache.is_worker();
        for run in join(pages) {
            let permit = if worker { self.revoker.permit() } else { None };
            if permit.is_some() || !worker {
                let here = match self.files.get(inode_of(run.first)) {
                    Some(file) => file.take_here(|| self.take_from_kernel(run, after)),
                    None => false,
                };
                if here {
                    continue;
                }
            }
            self.revoker.push(move |pages| {
                let mut after = After::default();
                pages.take_from_kernel(run, &mut after);
                pages.finish(after);
            });
        }
    }

    /// Waits until the kernel has let go, also of what it asked for again meanwhile, and tells the engine.
    pub(super) fn take_from_kernel(&self, run: Run, after: &mut After) {
        let (number, bytes) = (number_of(run.first.extent()), u64::from(run.pages) * PAGE_BYTES as u64);
        let all = || (0..u32::from(run.pages)).filter_map(|n| run.first.ahead(n));
        let mut gone = false;
        self.metrics.pages_revoked.add(u64::from(run.pages));
        while !gone {
            let offset = u64::from(run.first.index) * PAGE_BYTES as u64;
            self.cache.drop_pages(inode_of(run.first), offset, bytes);
            gone = self
                .turn(number, None, after, |turn| {
                    let dropping = &mut turn.shard.dropping;
                    let asked = |page: PageId| dropping.get_mut(&page).is_some_and(std::mem::take);
                    // Counted, not searched: each that was asked for has to be marked anew.
                    if all().map(asked).filter(|asked| *asked).count() > 0 {
                        return false;
                    }
                    for page in all() {
                        turn.shard.dropping.remove(&page);
                    }
                    let (page, run) = (run.first, run.pages);
                    turn.input(Input::Released { page, run, mapper: MapperId::FILE, left: None });
                    true
                })
                .unwrap_or(true);
        }
        self.note_dropped();
    }
}

/// Joins neighbours. Their order doesn't matter.
pub(super) fn join(mut pages: Vec<PageId>) -> Vec<Run> {
    pages.sort_unstable();
    let runs = pages.chunk_by(|a, b| a.ahead(1) == Some(*b));
    runs.filter_map(|run| Some(Run { first: *run.first()?, pages: run.len() as u16 })).collect()
}

impl fmt::Debug for Revoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoker").field("permits", &self.permits).finish_non_exhaustive()
    }
}
