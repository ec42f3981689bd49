//! Which grants end when, and which are of which region. The grants themselves belong to their connections.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::ffi::Window;
use crate::Nanos;
use crate::limits::GRANTS_MAX;
use crate::memory::RegionId;

/// Names a grant: the connection's number and the window's key.
pub(super) type GrantName = (u32, u32);

/// What one peer may do, until `until`. Dropping it ends that at once.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) _window: Window,
    pub(super) region: RegionId,
    pub(super) until: Nanos,
    /// The work request that put it in place.
    pub(super) bind: u64,
}

#[derive(Debug)]
pub(super) struct GrantIndex {
    sets: Mutex<Sets>,
    /// The first end, so that the receiver can look without the lock.
    first: AtomicU64,
}

#[derive(Debug, Default)]
struct Sets {
    by_end: BTreeSet<(Nanos, GrantName)>,
    by_region: BTreeSet<(RegionId, GrantName)>,
}

impl GrantIndex {
    pub(super) fn new() -> Self {
        Self { sets: Mutex::default(), first: AtomicU64::new(u64::MAX) }
    }

    pub(super) fn first_end(&self) -> Nanos {
        Nanos(self.first.load(Ordering::Relaxed))
    }

    /// False if there are too many.
    pub(super) fn add(&self, name: GrantName, region: RegionId, until: Nanos) -> bool {
        let mut sets = self.sets.lock();
        if sets.by_end.len() >= GRANTS_MAX {
            return false;
        }
        sets.by_end.insert((until, name));
        sets.by_region.insert((region, name));
        self.note_first(&sets);
        true
    }

    pub(super) fn remove(&self, name: GrantName, region: RegionId, until: Nanos) {
        let mut sets = self.sets.lock();
        sets.by_end.remove(&(until, name));
        sets.by_region.remove(&(region, name));
        self.note_first(&sets);
    }

    /// One grant that has ended by now, each once.
    pub(super) fn take_ended(&self, now: Nanos) -> Option<GrantName> {
        let mut sets = self.sets.lock();
        let (_, name) = sets.by_end.first().copied().filter(|(until, _)| *until <= now)?;
        sets.by_end.pop_first();
        self.note_first(&sets);
        Some(name)
    }

    pub(super) fn of_region(&self, region: RegionId) -> Vec<GrantName> {
        let sets = self.sets.lock();
        let all = (region, (0, 0))..=(region, (u32::MAX, u32::MAX));
        sets.by_region.range(all).map(|(_, name)| *name).collect()
    }

    fn note_first(&self, sets: &Sets) {
        let first = sets.by_end.first().map_or(u64::MAX, |(until, _)| until.0);
        self.first.store(first, Ordering::Relaxed);
    }
}
