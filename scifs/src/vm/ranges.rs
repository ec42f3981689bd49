//! Where a process has files mapped. Pure: addresses and page numbers only.

use std::collections::BTreeMap;

use scios::limits::PAGE_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;

/// Addresses that belong together: pages of one file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    end: u64,
    inode: u64,
    first_page: u32,
}

impl Range {
    fn page(&self, start: u64, address: u64) -> u32 {
        self.first_page.saturating_add(((address - start) / PAGE) as u32)
    }
}

/// What of a file is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) inode: u64,
    pub(super) page: u32,
    /// Pages of the same range from this one on.
    pub(super) pages: u32,
}

/// By where they begin. They never overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, Range>);

impl Ranges {
    /// What was there is gone. Addresses and lengths are whole pages.
    pub(super) fn insert(&mut self, start: u64, bytes: u64, inode: u64, first_page: u32) {
        let Some(end) = start.checked_add(bytes).filter(|end| *end > start) else { return };
        self.remove(start, end);
        self.0.insert(start, Range { end, inode, first_page });
    }

    /// Returns the inodes that nothing is left of.
    pub(super) fn remove(&mut self, start: u64, end: u64) -> Vec<u64> {
        let mut gone: Vec<u64> = self.take(start, end).into_iter().map(|(_, range)| range.inode).collect();
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|inode| !self.has(*inode));
        gone
    }

    /// The pages go to other addresses.
    pub(super) fn relocate(&mut self, from: u64, to: u64, bytes: u64) -> Vec<u64> {
        let Some((end, to_end)) = from.checked_add(bytes).zip(to.checked_add(bytes)) else {
            return Vec::new();
        };
        let taken = self.take(from, end);
        let gone = self.remove(to, to_end);
        for (start, range) in taken {
            let range = Range { end: range.end - from + to, ..range };
            self.0.insert(start - from + to, range);
        }
        gone
    }

    fn take(&mut self, start: u64, end: u64) -> Vec<(u64, Range)> {
        let touched: Vec<_> = self.0.range(..end).rev().take_while(|(_, range)| range.end > start).collect();
        let touched: Vec<_> = touched.into_iter().map(|(at, range)| (*at, *range)).collect();
        let mut taken = Vec::new();
        for (at, range) in touched {
            self.0.remove(&at);
            if at < start {
                self.0.insert(at, Range { end: start, ..range });
            }
            if range.end > end {
                self.0.insert(end, Range { first_page: range.page(at, end), ..range });
            }
            let from = at.max(start);
            taken.push((from, Range { end: range.end.min(end), first_page: range.page(at, from), ..range }));
        }
        taken
    }

    pub(super) fn find(&self, address: u64) -> Option<Place> {
        let (start, range) = self.0.range(..=address).next_back()?;
        let pages = range.end.checked_sub(address).filter(|bytes| *bytes > 0)? / PAGE;
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        Some(Place { inode: range.inode, page: range.page(*start, address), pages })
    }

    /// The addresses around this one of which nothing is known.
    pub(super) fn gap(&self, address: u64) -> std::ops::Range<u64> {
        let before = self.0.range(..=address).next_back().map_or(0, |(_, range)| range.end);
        before..self.0.range(address..).next().map_or(u64::MAX, |(start, _)| *start)
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.values().any(|range| range.inode == inode)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.0.values().map(|range| range.inode)
    }

    /// Where these pages of a file are mapped: first addresses and lengths in bytes.
    pub(super) fn places(&self, inode: u64, first: u32, pages: u32) -> impl Iterator<Item = (u64, u64)> {
        let wanted = u64::from(first)..u64::from(first) + u64::from(pages);
        let all = self.0.iter().filter(move |(_, range)| range.inode == inode);
        all.filter_map(move |(start, range)| {
            let own = u64::from(range.first_page);
            let from = wanted.start.max(own);
            let until = wanted.end.min(own + (range.end - start) / PAGE);
            let pages = until.checked_sub(from).filter(|pages| *pages > 0)?;
            Some((start + (from - own) * PAGE, pages * PAGE))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ranges: &Ranges, page: u64) -> Option<(u64, u32)> {
        ranges.find(page * PAGE).map(|place| (place.inode, place.page))
    }

    fn of(parts: &[(u64, u64, u64, u32)]) -> Ranges {
        let mut ranges = Ranges::default();
        for (start, pages, inode, page) in parts {
            ranges.insert(start * PAGE, pages * PAGE, *inode, *page);
        }
        ranges
    }

    #[test]
    fn a_hole_in_the_middle_leaves_both_ends_with_their_pages() {
        let mut ranges = of(&[(10, 10, 7, 100)]);
        assert!(ranges.remove(13 * PAGE, 15 * PAGE).is_empty());
        let found: Vec<_> = (9..21).map(|page| at(&ranges, page).map(|(_, page)| page)).collect();
        let expected = [
            None,
            Some(100),
            Some(101),
            Some(102),
            None,
            None,
            Some(105),
            Some(106),
            Some(107),
            Some(108),
            Some(109),
            None,
        ];
        assert_eq!(found, expected);
        assert_eq!(ranges.remove(0, u64::MAX), [7]);
        assert_eq!(ranges, Ranges::default());
    }

    #[test]
    fn a_new_range_takes_the_place_of_what_was_there() {
        let ranges = of(&[(10, 10, 7, 0), (12, 2, 8, 5), (0, 11, 9, 0)]);
        assert_eq!(at(&ranges, 10), Some((9, 10)));
        assert_eq!(at(&ranges, 11), Some((7, 1)));
        assert_eq!(at(&ranges, 13), Some((8, 6)));
        assert_eq!(at(&ranges, 14), Some((7, 4)));
    }

    #[test]
    fn what_moves_keeps_its_pages_and_what_was_there_is_gone() {
        let mut ranges = of(&[(10, 4, 7, 0), (14, 2, 8, 0), (50, 3, 9, 0)]);
        assert_eq!(ranges.relocate(12 * PAGE, 50 * PAGE, 3 * PAGE), [9]);
        assert_eq!(at(&ranges, 12), None);
        assert_eq!(at(&ranges, 51), Some((7, 3)));
        assert_eq!(at(&ranges, 52), Some((8, 0)));
        assert_eq!(at(&ranges, 15), Some((8, 1)));
    }

    #[test]
    fn a_page_is_found_wherever_it_is_mapped() {
        let ranges = of(&[(10, 4, 7, 2), (30, 8, 7, 0), (50, 8, 8, 0)]);
        let places: Vec<_> = ranges.places(7, 3, 4).collect();
        assert_eq!(places, [(11 * PAGE, 3 * PAGE), (33 * PAGE, 4 * PAGE)]);
        assert_eq!(ranges.places(7, 8, 4).count(), 0);
        assert_eq!(ranges.gap(40 * PAGE), 38 * PAGE..50 * PAGE);
    }

    #[test]
    fn impossible_addresses_change_nothing() {
        let mut ranges = of(&[(10, 4, 7, 2)]);
        ranges.insert(u64::MAX - PAGE + 1, 2 * PAGE, 9, 0);
        ranges.insert(0, 0, 9, 0);
        assert!(ranges.relocate(u64::MAX - PAGE, 0, 2 * PAGE).is_empty());
        assert_eq!(ranges, of(&[(10, 4, 7, 2)]));
    }
}
