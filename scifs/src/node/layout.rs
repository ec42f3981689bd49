//! Which segment of the coherence engine a file's pages belong to. Pure.
//!
//! A file's pages from one position on are moved to a new generation when they are cut off or punched out: then they read as
//! zeros on every node at once, and no page of the old generation has to be touched. Generations of a file only grow, so of two
//! segments that claim one page, the one with the higher generation is right.

use crate::coherence::{PageId, SegmentId};

/// Bits of a segment's id that number the generation; the others are the inode.
const GENERATION_BITS: u32 = 24;

/// From `first_page` up to the next piece, pages belong to `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    pub first_page: u32,
    pub generation: u32,
}

/// A file's pieces, ascending, the first at page 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout(Vec<Piece>);

impl Default for Layout {
    fn default() -> Self {
        Self(vec![Piece { first_page: 0, generation: 0 }])
    }
}

impl Layout {
    /// Brings the pieces into order; pages before the first belong to generation 0.
    pub fn new(mut pieces: Vec<Piece>) -> Self {
        pieces.sort_by_key(|piece| piece.first_page);
        if pieces.first().is_none_or(|piece| piece.first_page > 0) {
            pieces.insert(0, Piece { first_page: 0, generation: 0 });
        }
        Self(pieces)
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub fn generation(&self, page: u32) -> u32 {
        let after = self.0.partition_point(|piece| piece.first_page <= page);
        after.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, |piece| piece.generation)
    }

    /// The last page of the piece that holds `page`.
    pub fn piece_end(&self, page: u32) -> u32 {
        let after = self.0.partition_point(|piece| piece.first_page <= page);
        self.0.get(after).map_or(u32::MAX, |piece| piece.first_page - 1)
    }

    pub fn newest(&self) -> u32 {
        self.0.iter().map(|piece| piece.generation).max().unwrap_or(0)
    }

    pub fn has(&self, generation: u32) -> bool {
        self.0.iter().any(|piece| piece.generation == generation)
    }

    /// The runs of pages, first and last, that belong to another generation than in `before`.
    pub fn changes(&self, before: &Self) -> Vec<(u32, u32)> {
        let mut changes: Vec<(u32, u32)> = Vec::new();
        let mut page = 0;
        loop {
            let end = self.piece_end(page).min(before.piece_end(page));
            if self.generation(page) != before.generation(page) {
                match changes.last_mut() {
                    Some((_, last)) if last.checked_add(1) == Some(page) => *last = end,
                    _ => changes.push((page, end)),
                }
            }
            let Some(next) = end.checked_add(1) else { return changes };
            page = next;
        }
    }
}

pub(super) fn segment(inode: u64, generation: u32) -> SegmentId {
    SegmentId(inode << GENERATION_BITS | u64::from(generation))
}

/// All segments that a file ever had or will have.
pub(super) fn segments(inode: u64) -> std::ops::RangeInclusive<SegmentId> {
    segment(inode, 0)..=segment(inode, (1 << GENERATION_BITS) - 1)
}

pub(super) fn inode_of(page: PageId) -> u64 {
    page.segment.0 >> GENERATION_BITS
}

pub(super) fn generation_of(page: PageId) -> u32 {
    (page.segment.0 & ((1 << GENERATION_BITS) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(pieces: &[(u32, u32)]) -> Layout {
        Layout::new(
            pieces
                .iter()
                .map(|(first_page, generation)| Piece { first_page: *first_page, generation: *generation })
                .collect(),
        )
    }

    #[test]
    fn a_page_belongs_to_the_last_piece_that_begins_before_it() {
        let layout = layout(&[(9, 4), (0, 2), (5, 3)]);
        let of = |page| layout.generation(page);
        assert_eq!([of(0), of(4), of(5), of(8), of(9), of(u32::MAX)], [2, 2, 3, 3, 4, 4]);
        assert_eq!((layout.piece_end(0), layout.piece_end(7), layout.piece_end(9)), (4, 8, u32::MAX));
        assert_eq!((layout.newest(), layout.has(3), layout.has(7)), (4, true, false));
    }

    #[test]
    fn what_changes_is_told_in_runs() {
        let before = layout(&[(0, 1)]);
        assert_eq!(layout(&[(0, 1), (7, 2)]).changes(&before), [(7, u32::MAX)]);
        assert_eq!(layout(&[(0, 1), (7, 2), (9, 1)]).changes(&before), [(7, 8)]);
        assert_eq!(layout(&[(0, 1), (7, 2), (9, 3), (12, 1)]).changes(&before), [(7, 11)]);
        assert!(before.changes(&before).is_empty());
    }

    #[test]
    fn a_segment_tells_its_file_and_generation() {
        let page = PageId { segment: segment(77, 5), index: 3 };
        assert_eq!((inode_of(page), generation_of(page)), (77, 5));
        assert!(segments(77).contains(&page.segment) && !segments(76).contains(&page.segment));
    }
}
