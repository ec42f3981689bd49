//! The pool: frames for what is not a page of a segment (twins, replicas of other nodes' pages), single or adjacent.

use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Budget, Charge, Class};
use super::frame_map::FrameMap;
use super::{MemoryError, Region, RegionSlice};
use crate::limits::{FRAME_RUN_MAX, PAGE_BYTES};

/// One sparse memory file as large as the whole budget, of which only taken frames use memory.
#[derive(Debug)]
pub(super) struct Pool {
    budget: Arc<Budget>,
    region: Arc<Region>,
    map: Mutex<FrameMap>,
}

impl Pool {
    pub(super) fn new(budget: Arc<Budget>, frames: u64) -> Result<Arc<Self>, MemoryError> {
        let region = Region::new("scifs-pool", frames * PAGE_BYTES as u64)?;
        // The region is mapped, so its length fits into the address space.
        let map = Mutex::new(FrameMap::new(frames as usize));
        Ok(Arc::new(Self { budget, region, map }))
    }

    pub(super) fn take(self: &Arc<Self>, count: usize) -> Result<FrameRun, MemoryError> {
        if !(1..=FRAME_RUN_MAX).contains(&count) {
            return Err(MemoryError::Run { frames: count, max: FRAME_RUN_MAX });
        }
        // Charged before a bit is set and credited after it is cleared: so whoever is charged for one frame finds one.
        let charge = self.budget.reserve(Class::Pool, count as u64)?;
        let first = self.map.lock().take(count).ok_or(MemoryError::Fragmented { frames: count })?;
        Ok(FrameRun { pool: Arc::clone(self), charge, first, count })
    }
}

/// Adjacent frames, until it is dropped. They read as zero at first.
///
/// Its memory goes back to the kernel, so a run that was registered with a fabric on its own is forgotten there first.
#[derive(Debug)]
pub struct FrameRun {
    pool: Arc<Pool>,
    charge: Charge,
    first: usize,
    count: usize,
}

impl FrameRun {
    pub fn frames(&self) -> usize {
        self.count
    }

    /// The run's bytes. A slice that outlives the run shows memory that belongs to somebody else by then.
    pub fn slice(&self) -> Result<RegionSlice, MemoryError> {
        self.pool.region.slice(self.offset(), self.count * PAGE_BYTES)
    }

    fn offset(&self) -> u64 {
        (self.first * PAGE_BYTES) as u64
    }
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        // Punched while the bits are still set, so that nobody else's bytes can be lost; the charge ends after this.
        if let Err(error) = self.pool.region.punch(self.offset(), (self.count * PAGE_BYTES) as u64) {
            tracing::error!(%error, "frames could not be given back; they stay charged");
            self.charge.keep();
            return;
        }
        self.pool.map.lock().give_back(self.first, self.count);
    }
}
