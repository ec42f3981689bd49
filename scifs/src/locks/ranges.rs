//! What one owner holds of one file: disjoint ranges, each for reading or writing, neighbours of one kind joined. A step costs
//! the logarithm of the ranges, plus those that it changes.

use std::collections::BTreeMap;

use super::ids::{Kind, Range};

/// Ranges by their start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges(BTreeMap<u64, (u64, Kind)>);

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Range, Kind)> + '_ {
        self.0.iter().map(|(start, (end, kind))| (Range { start: *start, end: *end }, *kind))
    }

    /// The pieces that overlap `range`, whole, ascending.
    pub fn overlapping(&self, range: Range) -> impl Iterator<Item = (Range, Kind)> + '_ {
        let before = self.0.range(..range.start).next_back().filter(|(_, (end, _))| *end >= range.start);
        let from = before.map_or(range.start, |(start, _)| *start);
        self.0.range(from..=range.end).map(|(start, (end, kind))| (Range { start: *start, end: *end }, *kind))
    }

    /// The first piece that a lock of `kind` on `range` by another owner would conflict with.
    pub fn conflict(&self, range: Range, kind: Kind) -> Option<(Range, Kind)> {
        self.overlapping(range).find(|(_, held)| held.conflicts(kind))
    }

    /// Whether all of `range` is held as at least `kind`.
    pub fn covers(&self, range: Range, kind: Kind) -> bool {
        let mut next = Some(range.start);
        for (piece, held) in self.overlapping(range) {
            if held < kind || next.is_none_or(|next| piece.start > next) {
                return false;
            }
            next = piece.end.checked_add(1);
            if piece.end >= range.end {
                return true;
            }
        }
        false
    }

    /// Whether something in `range` is held as more than `kind`.
    pub fn exceeds(&self, range: Range, kind: Option<Kind>) -> bool {
        self.overlapping(range).any(|(_, held)| Some(held) > kind)
    }

    /// At least `kind` everywhere in `range`.
    pub fn raise(&mut self, range: Range, kind: Kind) {
        let mut next = Some(range.start);
        for (piece, held) in self.cut(range) {
            if let Some(gap) = next
                && gap < piece.start
            {
                self.put(Range { start: gap, end: piece.start - 1 }, kind);
            }
            self.put(piece, held.max(kind));
            next = piece.end.checked_add(1);
        }
        if let Some(start) = next
            && start <= range.end
        {
            self.put(Range { start, end: range.end }, kind);
        }
        self.join_right(range);
    }

    /// At most `kind` everywhere in `range`.
    pub fn lower(&mut self, range: Range, kind: Option<Kind>) {
        for (piece, held) in self.cut(range) {
            if let Some(left) = kind.map(|kind| kind.min(held)) {
                self.put(piece, left);
            }
        }
        self.join_right(range);
    }

    /// Takes out what overlaps `range` and gives the parts inside of it; parts outside stay.
    fn cut(&mut self, range: Range) -> Vec<(Range, Kind)> {
        let pieces: Vec<_> = self.overlapping(range).collect();
        for (piece, kind) in &pieces {
            self.0.remove(&piece.start);
            if piece.start < range.start {
                self.0.insert(piece.start, (range.start - 1, *kind));
            }
            if piece.end > range.end {
                self.0.insert(range.end + 1, (piece.end, *kind));
            }
        }
        let inside =
            |piece: Range| Range { start: piece.start.max(range.start), end: piece.end.min(range.end) };
        pieces.into_iter().map(|(piece, kind)| (inside(piece), kind)).collect()
    }

    /// Adds a piece to the right of all others inside the range being changed.
    fn put(&mut self, piece: Range, kind: Kind) {
        if let Some((_, (end, left))) = self.0.range_mut(..piece.start).next_back()
            && *left == kind
            && end.checked_add(1) == Some(piece.start)
        {
            *end = piece.end;
        } else {
            self.0.insert(piece.start, (piece.end, kind));
        }
    }

    /// Joins what lies on both sides of the end of `range`.
    fn join_right(&mut self, range: Range) {
        let Some(right) = range.end.checked_add(1) else { return };
        if let Some((end, kind)) = self.0.remove(&right) {
            self.put(Range { start: right, end }, kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 24;

    /// Ten times slower and obviously right.
    type Model = [Option<Kind>; BYTES as usize];

    fn pieces(model: &Model) -> Vec<(Range, Kind)> {
        let mut pieces: Vec<(Range, Kind)> = Vec::new();
        for (at, kind) in (0..).zip(model) {
            match (kind, pieces.last_mut()) {
                (Some(kind), Some((last, held))) if held == kind && last.end + 1 == at => last.end = at,
                (Some(kind), _) => pieces.push((Range { start: at, end: at }, *kind)),
                (None, _) => {}
            }
        }
        pieces
    }

    fn random(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    }

    #[test]
    fn ranges_do_what_a_table_of_bytes_does() {
        for seed in 0..400 {
            let mut state = seed;
            let (mut ranges, mut model) = (Ranges::default(), [None; BYTES as usize]);
            for _ in 0..60 {
                let (a, b) = (random(&mut state, BYTES), random(&mut state, BYTES));
                let range = Range { start: a.min(b), end: a.max(b) };
                let kind = [None, Some(Kind::Read), Some(Kind::Write)][random(&mut state, 3) as usize];
                let bytes = &mut model[range.start as usize..=range.end as usize];
                if let (Some(want), true) = (kind, random(&mut state, 2) == 0) {
                    assert_eq!(ranges.covers(range, want), bytes.iter().all(|held| *held >= kind), "{seed}");
                    ranges.raise(range, want);
                    bytes.iter_mut().for_each(|byte| *byte = (*byte).max(kind));
                } else {
                    assert_eq!(ranges.exceeds(range, kind), bytes.iter().any(|held| *held > kind), "{seed}");
                    ranges.lower(range, kind);
                    bytes.iter_mut().for_each(|byte| *byte = (*byte).min(kind));
                }
                assert_eq!(ranges.iter().collect::<Vec<_>>(), pieces(&model), "seed {seed}");
                let conflict =
                    pieces(&model).into_iter().find(|(r, k)| r.overlaps(range) && k.conflicts(Kind::Read));
                assert_eq!(ranges.conflict(range, Kind::Read), conflict, "seed {seed}");
            }
        }
    }

    #[test]
    fn ranges_reach_to_both_ends_of_the_file() {
        let mut ranges = Ranges::default();
        ranges.raise(Range::ALL, Kind::Write);
        assert!(ranges.covers(Range::ALL, Kind::Write));
        ranges.lower(Range { start: u64::MAX, end: u64::MAX }, Some(Kind::Read));
        ranges.lower(Range { start: 0, end: 0 }, None);
        let held: Vec<_> = ranges.iter().map(|(r, k)| (r.start, r.end, k)).collect();
        assert_eq!(held, [(1, u64::MAX - 1, Kind::Write), (u64::MAX, u64::MAX, Kind::Read)]);
        ranges.raise(Range { start: u64::MAX - 1, end: u64::MAX }, Kind::Write);
        assert_eq!(ranges.len(), 1);
        ranges.lower(Range::ALL, None);
        assert!(ranges.is_empty());
    }
}
