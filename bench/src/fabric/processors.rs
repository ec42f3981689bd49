//! Which processors each end of a comparison runs on: half of them each, the same for a fabric and for its floor.
//! Left to the scheduler, threads move between processors during a measurement, and the fabric has one thread more to move.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::BenchError;

pub(super) struct Processors {
    driver: CpuSet,
    other_end: CpuSet,
}

impl Processors {
    /// Of those that this process may use. One alone is shared.
    pub(super) fn halves() -> Result<Self, BenchError> {
        let all = sched_getaffinity(None).map_err(failed)?;
        let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        let (driver, other_end) = usable.split_at(usable.len() / 2);
        if driver.is_empty() {
            return Ok(Self { driver: all, other_end: all });
        }
        Ok(Self { driver: set_of(driver), other_end: set_of(other_end) })
    }

    /// What this thread and those that it starts from now on run on; processes inherit it too.
    pub(super) fn enter_driver(&self) -> Result<(), BenchError> {
        sched_setaffinity(None, &self.driver).map_err(failed)
    }

    pub(super) fn enter_other_end(&self) -> Result<(), BenchError> {
        sched_setaffinity(None, &self.other_end).map_err(failed)
    }
}

fn set_of(processors: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    processors.iter().for_each(|processor| set.set(*processor));
    set
}

fn failed(error: rustix::io::Errno) -> BenchError {
    BenchError::Processors(error.into())
}
