//! Which file lies where in the cluster's address space. Ranges never overlap and never move.
//!
//! A new range begins in the middle of the largest gap, so that it and the one before it have room to grow: a hundred
//! files have hundreds of GiB each. What is taken of a range is what the file is long now; the rest up to the next range is only room.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::attr::Inode;
use super::error::Refusal;
use super::limits::{ADDRESS_END, ADDRESS_FIRST, ADDRESS_UNIT};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// By where they begin: where they end, and whose they are.
    ranges: BTreeMap<u64, (u64, Inode)>,
    /// Length and beginning of what is free, so that the largest is last and the lowest among equals.
    gaps: BTreeSet<(u64, Reverse<u64>)>,
}

/// What a file of this size takes: at least one unit, so that an empty file has an address of its own.
pub(super) fn span(size: u64) -> u64 {
    size.max(1).next_multiple_of(ADDRESS_UNIT)
}

impl Addresses {
    pub(super) fn new() -> Self {
        let all = (ADDRESS_END - ADDRESS_FIRST, Reverse(ADDRESS_FIRST));
        Self { ranges: BTreeMap::new(), gaps: BTreeSet::from([all]) }
    }

    /// Finds a place for a file of this size.
    pub(super) fn place(&mut self, inode: Inode, size: u64) -> Result<u64, Refusal> {
        let span = span(size);
        let Some((length, Reverse(start))) = self.gaps.last().copied().filter(|gap| gap.0 >= span) else {
            return Err(Refusal::NoAddress);
        };
        let half = length / 2;
        let offset = if span <= length - half { half } else { (length - span) / 2 };
        let address = start + offset / ADDRESS_UNIT * ADDRESS_UNIT;
        self.claim(inode, address, size)?;
        Ok(address)
    }

    /// Takes this very range, if it is free.
    pub(super) fn claim(&mut self, inode: Inode, address: u64, size: u64) -> Result<(), Refusal> {
        let end = self.check(address, size, None)?;
        let (free_from, free_to) = self.around(address);
        self.fill(free_from, free_to);
        self.open(free_from, address);
        self.open(end, free_to);
        self.ranges.insert(address, (end, inode));
        Ok(())
    }

    /// Whether a file of this size may lie there, its own range (which begins at `except`) aside. Answers where it ends.
    pub(super) fn check(&self, address: u64, size: u64, except: Option<u64>) -> Result<u64, Refusal> {
        let end = address.checked_add(span(size)).ok_or(Refusal::BadAddress)?;
        if !address.is_multiple_of(ADDRESS_UNIT) || address < ADDRESS_FIRST || end > ADDRESS_END {
            return Err(Refusal::BadAddress);
        }
        let others = self.ranges.range(..end).rev().filter(|(start, _)| Some(**start) != except);
        match others.take(1).find(|(_, (other_end, _))| *other_end > address) {
            Some((start, (_, inode))) => Err(Refusal::Overlaps { address: *start, inode: *inode }),
            None => Ok(end),
        }
    }

    /// The file that begins at `address` has this size now.
    pub(super) fn resize(&mut self, address: u64, size: u64) -> Result<(), Refusal> {
        let Some((old_end, inode)) = self.ranges.get(&address).copied() else { return Ok(()) };
        let end = address.saturating_add(span(size));
        if end == old_end {
            return Ok(());
        }
        let next = self.next_start(old_end);
        if end > next {
            return Err(match self.ranges.get(&next) {
                Some((_, other)) => Refusal::NoRoom { address: next, inode: *other },
                None => Refusal::EndOfAddresses,
            });
        }
        self.fill(old_end, next);
        self.open(end, next);
        self.ranges.insert(address, (end, inode));
        Ok(())
    }

    pub(super) fn release(&mut self, address: u64) {
        let Some((end, _)) = self.ranges.remove(&address) else { return };
        let (free_from, free_to) = self.around(address);
        self.fill(free_from, address);
        self.fill(end, free_to);
        self.open(free_from, free_to);
    }

    /// The free range around an address that belongs to nobody.
    fn around(&self, address: u64) -> (u64, u64) {
        let before = self.ranges.range(..address).next_back().map_or(ADDRESS_FIRST, |(_, (end, _))| *end);
        (before, self.next_start(address))
    }

    fn next_start(&self, from: u64) -> u64 {
        self.ranges.range(from..).next().map_or(ADDRESS_END, |(start, _)| *start)
    }

    fn open(&mut self, from: u64, to: u64) {
        if from < to {
            self.gaps.insert((to - from, Reverse(from)));
        }
    }

    fn fill(&mut self, from: u64, to: u64) {
        if from < to {
            self.gaps.remove(&(to - from, Reverse(from)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Ranges and gaps together are the whole space, without overlap.
    fn check(addresses: &Addresses) {
        let gaps = addresses.gaps.iter().map(|(length, start)| (start.0, start.0 + length));
        let ranges = addresses.ranges.iter().map(|(start, (end, _))| (*start, *end));
        let mut all: Vec<_> = gaps.chain(ranges).collect();
        all.sort_unstable();
        let mut at = ADDRESS_FIRST;
        for (start, end) in all {
            assert_eq!(start, at, "no overlap and nothing lost");
            assert!(end > start && end.is_multiple_of(ADDRESS_UNIT));
            at = end;
        }
        assert_eq!(at, ADDRESS_END);
    }

    #[test]
    fn a_hundred_files_have_hundreds_of_gib_each() {
        let mut addresses = Addresses::new();
        let starts: Vec<u64> = (1..=100).map(|inode| addresses.place(inode, 0).unwrap()).collect();
        check(&addresses);
        for start in starts {
            addresses.resize(start, 200 * GIB).unwrap();
        }
        check(&addresses);
    }

    #[test]
    fn the_first_file_has_room_for_the_largest_size() {
        let mut addresses = Addresses::new();
        let start = addresses.place(1, 0).unwrap();
        assert_eq!(start, 0x3000_0000_0000);
        addresses.resize(start, crate::names::limits::FILE_BYTES_MAX).unwrap();
        check(&addresses);
    }

    #[test]
    fn a_million_files_have_addresses() {
        let mut addresses = Addresses::new();
        let mut starts = BTreeSet::new();
        for inode in 1..=1_000_000 {
            assert!(starts.insert(addresses.place(inode, 4096).unwrap()));
        }
        check(&addresses);
    }

    #[test]
    fn a_range_that_belongs_to_another_file_is_refused_by_its_name() {
        let mut addresses = Addresses::new();
        let at = ADDRESS_FIRST + 64 * GIB;
        addresses.claim(7, at, GIB).unwrap();
        let taken = Refusal::Overlaps { address: at, inode: 7 };
        assert_eq!(addresses.claim(8, at, 0), Err(taken.clone()));
        assert_eq!(addresses.claim(8, at + GIB - ADDRESS_UNIT, 0), Err(taken.clone()));
        assert_eq!(addresses.claim(8, at - ADDRESS_UNIT, ADDRESS_UNIT + 1), Err(taken));
        addresses.claim(8, at + GIB, 0).unwrap();
        addresses.claim(9, at - ADDRESS_UNIT, ADDRESS_UNIT).unwrap();
        assert_eq!(addresses.resize(at, GIB + 1), Err(Refusal::NoRoom { address: at + GIB, inode: 8 }));
        check(&addresses);
    }

    #[test]
    fn an_address_outside_or_between_units_is_refused() {
        let mut addresses = Addresses::new();
        for bad in [0, ADDRESS_FIRST - ADDRESS_UNIT, ADDRESS_FIRST + 4096, ADDRESS_END, u64::MAX / 2 + 1] {
            assert_eq!(addresses.claim(1, bad, 1), Err(Refusal::BadAddress), "{bad:#x}");
        }
        addresses.claim(1, ADDRESS_END - ADDRESS_UNIT, 1).unwrap();
        assert_eq!(
            addresses.resize(ADDRESS_END - ADDRESS_UNIT, ADDRESS_UNIT + 1),
            Err(Refusal::EndOfAddresses)
        );
        check(&addresses);
    }

    #[test]
    fn what_is_released_is_whole_again() {
        let mut addresses = Addresses::new();
        let starts: Vec<u64> = (1..=64).map(|inode| addresses.place(inode, inode * GIB).unwrap()).collect();
        for start in starts {
            addresses.release(start);
            check(&addresses);
        }
        assert_eq!(addresses, Addresses::new());
    }
}
