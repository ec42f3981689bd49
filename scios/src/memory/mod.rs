//! A node's memory as others may share it. The only part of SciOS beside the verbs bindings that may use `unsafe`:
//! everybody else moves bytes through [`RegionSlice`]'s bounds-checked calls.
//!
//! What a node donates is counted in frames of one page, by one [`Memory`]: whatever holds a page of cluster data
//! has taken a frame from it, so used and free always add up to `memory=SIZE`.
//!
//! ```text
//!  Memory ── Budget: free | segments | pool | staging
//!    ├─ frames   FrameRun       twins, replicas: adjacent frames of one sparse memory file, by bitmap
//!    ├─ segment  SegmentMemory  the pages of a segment that are here: a sparse memory file, mapped in windows
//!    └─ staging  StagingBuffer  buffers that the network card may hold on to: charged as a whole, never punched
//! ```
#![allow(unsafe_code)]

mod budget;
mod file;
mod frame_map;
mod frames;
mod gather;
mod machine;
mod region;
mod resident;
mod segment;
mod staging;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod windows;

use std::sync::Arc;

pub use budget::{Evictor, MemoryStatus};
pub use frames::FrameRun;
pub use gather::{recv_into, send_gather};
pub use machine::MachineMemory;
pub use region::{MemoryError, Region, RegionId, RegionSlice};
pub use segment::SegmentMemory;
pub use staging::{Staging, StagingBuffer};

use crate::limits::{PAGE_BYTES, WINDOW_BYTES, WINDOWS_MAX};
use crate::metrics::Registry;
use budget::Budget;
use frames::Pool;
use windows::Clock;

/// All memory that a node donates. Cheap to share; every call may come from any thread.
#[derive(Debug)]
pub struct Memory {
    budget: Arc<Budget>,
    pool: Arc<Pool>,
    windows: Arc<Clock>,
}

impl Memory {
    /// A budget of `budget_bytes`, cut to whole pages. Nothing of it is touched yet. Whether the machine has that
    /// much is for [`MachineMemory::check`] to say.
    pub fn new(budget_bytes: u64) -> Result<Arc<Self>, MemoryError> {
        let frames = budget_bytes / PAGE_BYTES as u64;
        if frames == 0 {
            return Err(MemoryError::TooSmall { asked: budget_bytes, min: PAGE_BYTES as u64 });
        }
        let budget = Arc::new(Budget::new(frames));
        let pool = Pool::new(Arc::clone(&budget), frames)?;
        Ok(Arc::new(Self { budget, pool, windows: Clock::new(WINDOWS_MAX) }))
    }

    /// Whom to ask for frames when the budget is used up. The latest call counts.
    pub fn set_evictor(&self, evictor: Arc<dyn Evictor>) {
        self.budget.set_evictor(evictor);
    }

    /// Takes `count` adjacent frames, which read as zero. Dropping the run gives them back.
    pub fn frames(&self, count: usize) -> Result<FrameRun, MemoryError> {
        self.pool.take(count)
    }

    /// Memory for a segment, as large as segments can be. It costs a descriptor, and nothing else until pages of it are
    /// populated.
    pub fn segment(&self, name: &str) -> Result<SegmentMemory, MemoryError> {
        SegmentMemory::new(Arc::clone(&self.budget), &self.windows, name, WINDOW_BYTES)
    }

    /// Buffers of the given classes (bytes each, how many), charged at once.
    pub fn staging(&self, classes: &[(usize, usize)]) -> Result<Staging, MemoryError> {
        Staging::new(&self.budget, classes)
    }

    pub fn status(&self) -> MemoryStatus {
        self.budget.status()
    }

    /// Shows the accounting among a node's metrics.
    pub fn show(&self, registry: &Registry) {
        self.budget.show(registry);
    }
}
