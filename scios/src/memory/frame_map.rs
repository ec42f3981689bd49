//! Which frames of a pool are taken. Pure: knows numbers only.
//!
//! A bit a frame, and above it a bit a group of frames that says "all taken", so that looking for a free frame in an
//! almost full pool of terabytes reads a few kilobytes at most. The search goes on where the last one ended (next
//! fit): it finds free frames sooner than one that starts anew, and lets free frames gather into runs behind it.

use std::ops::Range;

use bitvec::prelude::{BitVec, Lsb0};

use crate::limits::FRAME_GAPS_TRIED_MAX;

const GROUP: usize = 4096;

#[derive(Debug)]
pub(super) struct FrameMap {
    taken: BitVec<u64, Lsb0>,
    group_full: BitVec<u64, Lsb0>,
    group_taken: Vec<u16>,
    /// Where the next search begins.
    next: usize,
}

impl FrameMap {
    pub(super) fn new(frames: usize) -> Self {
        let groups = frames.div_ceil(GROUP);
        Self { taken: zeros(frames), group_full: zeros(groups), group_taken: vec![0; groups], next: 0 }
    }

    /// Takes `count` (at least 1) adjacent frames and gives the first. `None`: no such run was found; for one frame
    /// that means that all are taken, for more that the pool is fragmented, as far as it was searched.
    pub(super) fn take(&mut self, count: usize) -> Option<usize> {
        let start = self.next;
        let wrapped_end = start.saturating_add(count - 1).min(self.taken.len());
        let mut gaps_left = FRAME_GAPS_TRIED_MAX;
        let first = self.find(start..self.taken.len(), count, &mut gaps_left).or_else(|| {
            if gaps_left == 0 { None } else { self.find(0..wrapped_end, count, &mut gaps_left) }
        })?;
        self.mark(first..first + count, true);
        self.next = first + count;
        Some(first)
    }

    /// Gives back frames that are taken, all of them.
    pub(super) fn give_back(&mut self, first: usize, count: usize) {
        debug_assert!(self.taken[first..first + count].all(), "frames given back that were free");
        self.mark(first..first + count, false);
    }

    fn find(&mut self, within: Range<usize>, count: usize, gaps_left: &mut usize) -> Option<usize> {
        let mut at = within.start;
        loop {
            at = self.next_free(at)?;
            if at + count > within.end {
                return None;
            }
            // The last taken frame of the window rules out every start before it.
            match self.taken[at..at + count].last_one() {
                None => return Some(at),
                Some(_) if *gaps_left == 0 => {
                    // The next search looks at the gaps that this one left out.
                    self.next = at;
                    return None;
                }
                Some(last) => at += last + 1,
            }
            *gaps_left -= 1;
        }
    }

    fn next_free(&self, from: usize) -> Option<usize> {
        let mut group = from / GROUP;
        let mut from = from;
        while group < self.group_taken.len() {
            let group_end = ((group + 1) * GROUP).min(self.taken.len());
            if !self.group_full[group]
                && let Some(skip) = self.taken[from..group_end].first_zero()
            {
                return Some(from + skip);
            }
            group = group + 1 + self.group_full[group + 1..].first_zero()?;
            from = group * GROUP;
        }
        None
    }

    fn mark(&mut self, frames: Range<usize>, taken: bool) {
        let mut at = frames.start;
        while at < frames.end {
            let group = at / GROUP;
            let group_end = ((group + 1) * GROUP).min(self.taken.len());
            let end = frames.end.min(group_end);
            self.taken[at..end].fill(taken);
            let changed = (end - at) as u16;
            let count = &mut self.group_taken[group];
            *count = if taken { *count + changed } else { *count - changed };
            self.group_full.set(group, usize::from(*count) == group_end - group * GROUP);
            at = end;
        }
    }
}

/// Zeroed memory from the allocator, which the kernel provides when it is touched.
fn zeros(bits: usize) -> BitVec<u64, Lsb0> {
    let mut zeros = BitVec::from_vec(vec![0; bits.div_ceil(64)]);
    zeros.truncate(bits);
    zeros
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::testing::Random;

    #[test]
    fn every_frame_is_given_once_and_then_none() {
        let mut map = FrameMap::new(2 * GROUP + 100);
        let mut seen: Vec<_> = std::iter::from_fn(|| map.take(1)).collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..2 * GROUP + 100));
        map.give_back(GROUP + 7, 1);
        assert_eq!(map.take(1), Some(GROUP + 7));
        assert_eq!(map.take(1), None);
    }

    #[test]
    fn a_search_goes_on_where_the_last_one_ended() {
        let mut map = FrameMap::new(16);
        assert_eq!(map.take(4), Some(0));
        map.give_back(0, 4);
        assert_eq!(map.take(4), Some(4));
        assert_eq!(map.take(8), Some(8));
        assert_eq!(map.take(4), Some(0), "the end of the pool is followed by its start");
    }

    #[test]
    fn a_run_crosses_groups_and_the_old_search_position() {
        let mut map = FrameMap::new(2 * GROUP);
        assert_eq!(map.take(2 * GROUP), Some(0));
        map.give_back(GROUP - 3, 6);
        assert_eq!(map.take(6), Some(GROUP - 3));
        map.give_back(GROUP - 3, 6);
        map.next = GROUP;
        assert_eq!(map.take(6), Some(GROUP - 3));
    }

    #[test]
    fn a_fragmented_pool_refuses_runs_after_a_bounded_search_and_gives_single_frames() {
        let mut map = FrameMap::new(8 * GROUP);
        assert_eq!(map.take(8 * GROUP), Some(0));
        for frame in (0..8 * GROUP).step_by(2) {
            map.give_back(frame, 1);
        }
        assert_eq!(map.take(2), None);
        assert!(map.take(1).is_some());
    }

    /// Against a vector of flags, for many seeds: what is given was free, what is refused wasn't there.
    #[test]
    fn the_map_agrees_with_a_naive_model() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let frames = 1 + random.below(300) as usize;
            let mut map = FrameMap::new(frames);
            let mut model = vec![false; frames];
            let mut held: Vec<(usize, usize)> = Vec::new();
            for _ in 0..400 {
                let count = 1 + random.below(9) as usize;
                if random.below(5) < 3 {
                    let possible = count <= frames && model.windows(count).any(|w| w.iter().all(|t| !t));
                    let got = map.take(count);
                    assert_eq!(got.is_some(), possible, "seed {seed}: a run of {count}");
                    if let Some(first) = got {
                        assert!(model[first..first + count].iter().all(|t| !t), "seed {seed}: taken twice");
                        model[first..first + count].fill(true);
                        held.push((first, count));
                    }
                } else if !held.is_empty() {
                    let (first, count) = held.swap_remove(random.below(held.len() as u64) as usize);
                    map.give_back(first, count);
                    model[first..first + count].fill(false);
                }
                assert!(map.taken.iter().by_vals().eq(model.iter().copied()), "seed {seed}");
            }
        }
    }
}
