//! What a comparison tells the processes that use memory, and what they answer.

use std::ops::Range;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::sweep::{Times, Words, Wrong, expected, load_all, out_of_order, read_all, store_all};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum What {
    /// Puts into each page what it is expected to hold.
    Write,
    Load,
    Store,
    /// Reads all bytes, in order.
    Read,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) what: What,
    /// What each page has seen.
    pub(super) stores: u64,
    first: usize,
    count: usize,
    threads: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    /// What each access took, but for those in order.
    pub(super) nanos: Vec<f64>,
    pub(super) elapsed_ns: f64,
    /// All that this process has worked so far.
    pub(super) worked_ns: f64,
}

impl Order {
    pub(super) fn new(what: What, stores: u64, pages: Range<usize>) -> Self {
        Self { what, stores, first: pages.start, count: pages.len(), threads: 1 }
    }

    /// So many threads share the pages.
    pub(super) fn by(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// To be told how much a process has worked.
    pub(super) fn nothing() -> Self {
        Self::new(What::Load, 0, 0..0)
    }

    pub(super) fn pages(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    pub(super) fn perform(&self, words: &(impl Words + Sync)) -> Result<Done, Wrong> {
        let begun = Instant::now();
        let share = |thread| move || self.share_of(thread, words);
        let shares: Vec<Result<Times, Wrong>> = match self.threads {
            1 => vec![self.share_of(0, words)],
            threads => std::thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(share(thread))).collect();
                let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
                joined.map(|share| share.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            }),
        };
        let elapsed_ns = begun.elapsed().as_nanos() as f64;
        let shares = shares.into_iter().collect::<Result<Vec<_>, _>>()?;
        let nanos = shares.into_iter().flat_map(|times| times.nanos).collect();
        Ok(Done { nanos, elapsed_ns, worked_ns: worked_ns() })
    }

    fn share_of(&self, thread: usize, words: &impl Words) -> Result<Times, Wrong> {
        let mut times = Times::new(self.count / self.threads + 1);
        let order = out_of_order(self.count).skip(thread).step_by(self.threads).map(|page| self.first + page);
        match self.what {
            What::Write => order.for_each(|page| {
                words.swap(page, expected(page, self.stores));
            }),
            What::Load => load_all(words, order, self.stores, &mut times)?,
            What::Store => store_all(words, order, self.stores, &mut times)?,
            What::Read => read_all(words, self.pages(), self.stores)?,
        }
        Ok(times)
    }
}

fn worked_ns() -> f64 {
    let worked = clock_gettime(ClockId::ProcessCPUTime);
    worked.tv_sec as f64 * 1e9 + worked.tv_nsec as f64
}
