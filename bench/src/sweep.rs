//! Loads and stores of whole pages of a file, each timed, and each checked for what was stored before, wherever that was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const WORD_BYTES: usize = size_of::<u64>();
pub(crate) const WORDS: usize = PAGE_BYTES / WORD_BYTES;

/// Odd, so that it meets every page of a power of two once; far enough that no page follows its neighbour, which would be
/// taken for reading in order.
const STRIDE: usize = 1597;

/// Nanoseconds: of one operation, or of one byte where a rate is measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) typical: f64,
    pub(crate) p99: Option<f64>,
}

#[derive(Debug, thiserror::Error)]
#[error("page {page} holds {found} where {expected} was stored elsewhere")]
pub(crate) struct Wrong {
    page: usize,
    found: u64,
    expected: u64,
}

/// A file's memory.
pub(crate) trait Words {
    /// A word of a page; panics outside of what is mapped.
    fn word(&self, page: usize, index: usize) -> &AtomicU64;

    /// The first word of a page.
    fn load(&self, page: usize) -> u64 {
        self.word(page, 0).load(Ordering::Relaxed)
    }

    /// Stores the first word of a page and returns what was there: one access, so one fault, and it shows whether what was
    /// stored elsewhere has come along.
    fn swap(&self, page: usize, value: u64) -> u64 {
        self.word(page, 0).swap(value, Ordering::Relaxed)
    }

    /// Reads all of a page: its first word, and the sum of all.
    fn read(&self, page: usize) -> (u64, u64) {
        let word = |index| self.word(page, index).load(Ordering::Relaxed);
        (word(0), (0..WORDS).fold(0, |sum: u64, index| sum.wrapping_add(word(index))))
    }
}

/// The first word of a page that has been stored to so often since it was written.
pub(crate) fn expected(page: usize, stores: u64) -> u64 {
    page as u64 + 1 + stores
}

pub(crate) fn check(page: usize, found: u64, expected: u64) -> Result<(), Wrong> {
    if found == expected { Ok(()) } else { Err(Wrong { page, found, expected }) }
}

pub(crate) fn out_of_order(pages: usize) -> impl Iterator<Item = usize> {
    (0..pages).map(move |index| index * STRIDE % pages)
}

pub(crate) fn load_all(
    words: &impl Words,
    pages: impl Iterator<Item = usize>,
    stores: u64,
    times: &mut Times,
) -> Result<(), Wrong> {
    for page in pages {
        let found = times.time(|| words.load(page));
        check(page, found, expected(page, stores))?;
    }
    Ok(())
}

/// One more store to each page than the `stores` that it has seen.
pub(crate) fn store_all(
    words: &impl Words,
    pages: impl Iterator<Item = usize>,
    stores: u64,
    times: &mut Times,
) -> Result<(), Wrong> {
    for page in pages {
        let expected = expected(page, stores);
        let found = times.time(|| words.swap(page, expected + 1));
        check(page, found, expected)?;
    }
    Ok(())
}

/// Reads all bytes of each page, whatever it takes for one.
pub(crate) fn read_all(
    words: &impl Words,
    pages: impl Iterator<Item = usize>,
    stores: u64,
) -> Result<(), Wrong> {
    for page in pages {
        let (found, sum) = words.read(page);
        std::hint::black_box(sum);
        check(page, found, expected(page, stores))?;
    }
    Ok(())
}

/// What single operations took.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) nanos: Vec<f64>,
}

impl Times {
    pub(crate) fn new(repeats: usize) -> Self {
        Self { nanos: Vec::with_capacity(repeats) }
    }

    pub(crate) fn time<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = operation();
        self.nanos.push(begun.elapsed().as_nanos() as f64);
        result
    }

    pub(crate) fn measured(mut self) -> Measured {
        self.nanos.sort_by(f64::total_cmp);
        let at = |percent: usize| self.nanos.get(self.nanos.len() * percent / 100).copied();
        Measured { typical: at(50).unwrap_or(f64::NAN), p99: at(99) }
    }
}

/// What each byte of so many pages took since then.
pub(crate) fn per_byte(begun: Instant, pages: usize) -> Measured {
    Measured { typical: begun.elapsed().as_nanos() as f64 / (pages * PAGE_BYTES) as f64, p99: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_order_meets_each_page_once_and_never_neighbours() {
        for pages in [1, 64, 2048, 65_536] {
            let order: Vec<_> = out_of_order(pages).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..pages));
            assert!(order.windows(2).all(|pair| pair[1].abs_diff(pair[0]) > 1));
        }
    }
}
