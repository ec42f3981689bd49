//! The one accounting of frames: who has how many, and what happens when there are none left.
//!
//! The counts lie behind one lock, which is taken for a few instructions and inside of which nothing else is locked: so a snapshot adds
//! up at every moment, which counters that are changed one by one could not promise. Beside a page install (1 µs and
//! more) the uncontended lock (about 10 ns) doesn't show.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::MemoryError;
use crate::limits::{EVICTIONS_MAX, PAGE_BYTES, RESERVE_FRAMES_MAX, RESERVE_SHARE};
use crate::metrics::{Counter, Registry};

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Segments = 0,
    Pool = 1,
    Staging = 2,
}

const CLASSES: usize = 3;

/// How much of what is free a reservation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// All but the reserve.
    Usual,
    /// Everything: others rely on it.
    Obliged,
}

/// Makes room. Called by the thread that needs frames, with nothing of this module locked, so it may release pages
/// and drop frames; it may be called by several threads at once. A reservation that is made from inside of the call is
/// not evicted for: it fails at once when there is nothing free.
pub trait Evictor: Send + Sync + 'static {
    /// Gives back at least `frames` frames if that is possible. `false` when nothing more can be given back now.
    fn evict(&self, frames: u64) -> bool;
}

/// Where the budget has gone. `free + segments + pool + staging = budget`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryStatus {
    pub budget_bytes: u64,
    pub free_bytes: u64,
    /// What of it only pages may take that other members rely on this node to take, when all of it is there.
    pub reserve_bytes: u64,
    /// Pages of segments that are on this node.
    pub segments_bytes: u64,
    /// Single frames and runs: twins, replicas.
    pub pool_bytes: u64,
    pub staging_bytes: u64,
    /// How often the evictor was asked.
    pub evictions_total: u64,
    /// How many reservations failed.
    pub refusals_total: u64,
}

impl MemoryStatus {
    pub fn used_bytes(&self) -> u64 {
        self.segments_bytes + self.pool_bytes + self.staging_bytes
    }

    /// What anybody can have without anything being evicted.
    pub fn available_bytes(&self) -> u64 {
        self.free_bytes.saturating_sub(self.reserve_bytes)
    }
}

struct Counts {
    free: u64,
    used: [u64; CLASSES],
}

pub(super) struct Budget {
    frames: u64,
    reserve: u64,
    counts: Mutex<Counts>,
    evictor: RwLock<Option<Arc<dyn Evictor>>>,
    evictions: Counter,
    refusals: Counter,
}

thread_local! {
    /// The budgets, by address, that this thread is evicting for right now.
    static EVICTING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Budget {
    pub(super) fn new(frames: u64) -> Self {
        Self {
            frames,
            reserve: RESERVE_FRAMES_MAX.min(frames / RESERVE_SHARE),
            counts: Mutex::new(Counts { free: frames, used: [0; CLASSES] }),
            evictor: RwLock::new(None),
            evictions: Counter::default(),
            refusals: Counter::default(),
        }
    }

    pub(super) fn set_evictor(&self, evictor: Arc<dyn Evictor>) {
        *self.evictor.write() = Some(evictor);
    }

    /// Takes frames if they are free. Never calls anybody, so it may be used while locks are held.
    pub(super) fn try_reserve(&self, class: Class, frames: u64, need: Need) -> bool {
        let floor = match need {
            Need::Usual => self.reserve,
            Need::Obliged => 0,
        };
        let mut counts = self.counts.lock();
        let Some(left) = counts.free.checked_sub(frames).filter(|left| *left >= floor) else { return false };
        counts.free = left;
        counts.used[class as usize] += frames;
        true
    }

    /// How many frames have to come free before `frames` can be had by anybody: also what was taken of the reserve.
    fn missing(&self, frames: u64) -> u64 {
        (frames + self.reserve).saturating_sub(self.counts.lock().free)
    }

    /// Takes frames, evicting when they are not free. The caller holds no lock.
    pub(super) fn reserve(self: &Arc<Self>, class: Class, frames: u64) -> Result<Charge, MemoryError> {
        while_full(self, frames, || self.try_reserve(class, frames, Need::Usual))?;
        Ok(Charge { budget: Arc::clone(self), class, frames })
    }

    pub(super) fn credit(&self, class: Class, frames: u64) {
        let mut counts = self.counts.lock();
        debug_assert!(counts.used[class as usize] >= frames, "more frames credited than charged");
        counts.free += frames;
        counts.used[class as usize] -= frames;
    }

    pub(super) fn status(&self) -> MemoryStatus {
        let counts = self.counts.lock();
        let bytes = |class: Class| counts.used[class as usize] * PAGE_BYTES as u64;
        MemoryStatus {
            budget_bytes: self.frames * PAGE_BYTES as u64,
            free_bytes: counts.free * PAGE_BYTES as u64,
            reserve_bytes: self.reserve * PAGE_BYTES as u64,
            segments_bytes: bytes(Class::Segments),
            pool_bytes: bytes(Class::Pool),
            staging_bytes: bytes(Class::Staging),
            evictions_total: self.evictions.get(),
            refusals_total: self.refusals.get(),
        }
    }

    pub(super) fn show(self: &Arc<Self>, registry: &Registry) {
        type Part = fn(&MemoryStatus) -> u64;
        let gauge = |name, help, labels: &[(&'static str, &str)], part: Part| {
            let budget = Arc::clone(self);
            registry.observed_gauge(name, help, labels, move || part(&budget.status()) as i64);
        };
        gauge("scifs_memory_budget_bytes", "Memory that this node donates.", &[], |s| s.budget_bytes);
        gauge("scifs_memory_free_bytes", "The part of the budget that is free.", &[], |s| s.free_bytes);
        let classes: [(&str, Part); CLASSES] = [
            ("segments", |s| s.segments_bytes),
            ("pool", |s| s.pool_bytes),
            ("staging", |s| s.staging_bytes),
        ];
        for (class, part) in classes {
            let help = "The part of the budget that is used, by what it is used for.";
            gauge("scifs_memory_used_bytes", help, &[("class", class)], part);
        }
        let counters = [
            ("scifs_memory_evictions_total", "How often the evictor was asked for frames.", &self.evictions),
            ("scifs_memory_refusals_total", "How many reservations failed.", &self.refusals),
        ];
        for (name, help, counter) in counters {
            registry.show_counter(name, help, &[], counter);
        }
    }

    /// Counts a reservation that failed, and says why.
    pub(super) fn refuse(&self, frames: u64) -> MemoryError {
        self.refusals.increment();
        let status = self.status();
        MemoryError::Full {
            needed: frames.saturating_mul(PAGE_BYTES as u64),
            free: status.available_bytes(),
            budget: status.budget_bytes,
        }
    }

    /// Asks the evictor once. `false`: there is none, or it has nothing, or this thread is already evicting.
    fn evict(&self, frames: u64) -> bool {
        let Some(evictor) = self.evictor.read().clone() else { return false };
        let Some(_guard) = Evicting::enter(std::ptr::from_ref(self).addr()) else { return false };
        self.evictions.increment();
        evictor.evict(frames)
    }
}

/// Runs `attempt` until it succeeds, asking the evictor for `frames` in between, a bounded number of times.
pub(super) fn while_full(
    budget: &Budget,
    frames: u64,
    mut attempt: impl FnMut() -> bool,
) -> Result<(), MemoryError> {
    if frames <= budget.frames - budget.reserve {
        for _ in 0..EVICTIONS_MAX {
            if attempt() {
                return Ok(());
            }
            if !budget.evict(budget.missing(frames)) {
                break;
            }
        }
        // Others may have given back what the evictor could not.
        if attempt() {
            return Ok(());
        }
    }
    Err(budget.refuse(frames))
}

/// While it lives, this thread evicts for one budget and not again for the same.
struct Evicting;

impl Evicting {
    fn enter(budget: usize) -> Option<Self> {
        EVICTING.with_borrow_mut(|inside| {
            if inside.contains(&budget) {
                return None;
            }
            inside.push(budget);
            Some(Self)
        })
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        EVICTING.with_borrow_mut(|inside| inside.pop());
    }
}

/// Frames that are charged until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    class: Class,
    frames: u64,
}

impl Charge {
    /// Leaves the frames charged for ever, because their memory could not be given back.
    pub(super) fn keep(&mut self) {
        self.frames = 0;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.credit(self.class, self.frames);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}
