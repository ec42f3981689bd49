//! Which pages of a segment are here. Pure: knows numbers only.
//!
//! A bitmap in chunks that exist only where a page is resident, so that an untouched terabyte costs nothing and a walk
//! over the resident pages costs what is resident.

use std::collections::BTreeMap;
use std::ops::Range;

use bitvec::prelude::{BitArray, Lsb0};

/// 32,768 pages, 128 MiB: one page of bitmap.
const CHUNK_PAGES: u64 = 32_768;
type Bits = BitArray<[u64; (CHUNK_PAGES / 64) as usize], Lsb0>;

struct Chunk {
    bits: Bits,
    count: usize,
}

#[derive(Default)]
pub(super) struct ResidentSet {
    chunks: BTreeMap<u64, Box<Chunk>>,
    count: u64,
}

impl ResidentSet {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn contains(&self, page: u64) -> bool {
        let (chunk, bit) = place(page);
        self.chunks.get(&chunk).is_some_and(|chunk| chunk.bits[bit])
    }

    /// `false` when it was there already.
    pub(super) fn insert(&mut self, page: u64) -> bool {
        let (chunk, bit) = place(page);
        let chunk =
            self.chunks.entry(chunk).or_insert_with(|| Box::new(Chunk { bits: Bits::ZERO, count: 0 }));
        if chunk.bits.replace(bit, true) {
            return false;
        }
        chunk.count += 1;
        self.count += 1;
        true
    }

    /// Takes out pages that are all there.
    pub(super) fn remove(&mut self, run: Range<u64>) {
        let mut at = run.start;
        while at < run.end {
            let (number, bit) = place(at);
            let end = run.end.min((number + 1) * CHUNK_PAGES);
            if let Some(chunk) = self.chunks.get_mut(&number) {
                let bits = &mut chunk.bits[bit..bit + (end - at) as usize];
                let removed = bits.count_ones();
                bits.fill(false);
                chunk.count -= removed;
                self.count -= removed as u64;
                if chunk.count == 0 {
                    self.chunks.remove(&number);
                }
            }
            at = end;
        }
    }

    /// The first resident pages in `within` that follow each other, cut at its end.
    pub(super) fn next_run(&self, within: Range<u64>) -> Option<Range<u64>> {
        if within.is_empty() {
            return None;
        }
        let mut run: Option<Range<u64>> = None;
        for (&number, chunk) in self.chunks.range(within.start / CHUNK_PAGES..) {
            let chunk_start = number * CHUNK_PAGES;
            let from = chunk_start.max(run.as_ref().map_or(within.start, |run| run.end));
            if from >= within.end || run.as_ref().is_some_and(|run| run.end != chunk_start) {
                break;
            }
            let bits = &chunk.bits[(from - chunk_start) as usize..];
            let skip = if run.is_some() { Some(0) } else { bits.first_one() };
            let Some(skip) = skip else { continue };
            let pages = bits[skip..].leading_ones();
            let start = from + skip as u64;
            let end = start + pages as u64;
            run = Some(run.map_or(start, |run| run.start)..end);
            if end < chunk_start + CHUNK_PAGES {
                break;
            }
        }
        let run = run?;
        (run.start < within.end).then_some(run.start..run.end.min(within.end))
    }
}

fn place(page: u64) -> (u64, usize) {
    (page / CHUNK_PAGES, (page % CHUNK_PAGES) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::memory::testing::Random;

    #[test]
    fn a_run_goes_on_across_chunks_and_is_cut_at_the_end_of_the_question() {
        let mut set = ResidentSet::default();
        (CHUNK_PAGES - 2..2 * CHUNK_PAGES + 2).for_each(|page| assert!(set.insert(page)));
        assert_eq!(set.next_run(0..u64::MAX), Some(CHUNK_PAGES - 2..2 * CHUNK_PAGES + 2));
        assert_eq!(set.next_run(0..CHUNK_PAGES + 5), Some(CHUNK_PAGES - 2..CHUNK_PAGES + 5));
        assert_eq!(set.next_run(CHUNK_PAGES..CHUNK_PAGES + 1), Some(CHUNK_PAGES..CHUNK_PAGES + 1));
        assert_eq!(set.next_run(0..CHUNK_PAGES - 2), None);
        assert_eq!(set.next_run(9..9), None);
    }

    #[test]
    fn an_empty_chunk_is_freed() {
        let mut set = ResidentSet::default();
        assert!(set.insert(1 << 31));
        assert!(!set.insert(1 << 31));
        assert_eq!(set.chunks.len(), 1);
        set.remove(1 << 31..(1 << 31) + 1);
        assert_eq!((set.chunks.len(), set.count()), (0, 0));
    }

    #[test]
    fn the_set_agrees_with_a_naive_model() {
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let mut set = ResidentSet::default();
            let mut model = BTreeSet::new();
            for _ in 0..300 {
                // Around the border of two chunks, in dense runs.
                let page = CHUNK_PAGES - 40 + random.below(80);
                match random.below(4) {
                    0 => {
                        let end = page + 1 + random.below(20);
                        let mut at = page;
                        while let Some(run) = set.next_run(at..end) {
                            at = run.end;
                            set.remove(run);
                        }
                        model.retain(|p| !(page..end).contains(p));
                    }
                    _ => assert_eq!(set.insert(page), model.insert(page), "seed {seed}"),
                }
                assert_eq!(set.count(), model.len() as u64, "seed {seed}");
                let mut at = 0;
                let mut walked = Vec::new();
                while let Some(run) = set.next_run(at..u64::MAX) {
                    assert!(!set.contains(run.end), "seed {seed}: a run ended early");
                    at = run.end;
                    walked.extend(run);
                }
                assert!(walked.iter().eq(model.iter()), "seed {seed}");
            }
        }
    }
}
