//! Which pages of files a process may have in its page tables. Pure. More than it has is harmless, less is not.
//!
//! A bitmap for each run of 512 pages, so that a sparse million of pages costs what is there.

use std::collections::HashMap;

use crate::coherence::limits::EXTENT_PAGES;

type Bits = [u64; EXTENT_PAGES as usize / 64];

#[derive(Clone, Debug, Default)]
pub(super) struct Presence(HashMap<(u64, u32), Bits>);

impl Presence {
    pub(super) fn add(&mut self, inode: u64, page: u32) {
        let (extent, word, bit) = place(page);
        let bits = self.0.entry((inode, extent)).or_default();
        if let Some(word) = bits.get_mut(word) {
            *word |= bit;
        }
    }

    pub(super) fn has(&self, inode: u64, page: u32) -> bool {
        let (extent, word, bit) = place(page);
        let bits = self.0.get(&(inode, extent)).and_then(|bits| bits.get(word));
        bits.is_some_and(|word| word & bit != 0)
    }

    pub(super) fn remove(&mut self, inode: u64, page: u32) {
        let (extent, word, bit) = place(page);
        let Some(bits) = self.0.get_mut(&(inode, extent)) else { return };
        if let Some(word) = bits.get_mut(word) {
            *word &= !bit;
        }
        if bits.iter().all(|word| *word == 0) {
            self.0.remove(&(inode, extent));
        }
    }

    pub(super) fn forget(&mut self, inode: u64) {
        self.0.retain(|(known, _), _| *known != inode);
    }
}

fn place(page: u32) -> (u32, usize, u64) {
    let within = page % EXTENT_PAGES;
    (page / EXTENT_PAGES, within as usize / 64, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_there_until_they_are_taken_away() {
        let mut presence = Presence::default();
        for page in [0, 63, 64, 511, 512, u32::MAX] {
            presence.add(1, page);
        }
        assert!(
            presence.has(1, 511) && presence.has(1, u32::MAX) && !presence.has(1, 1) && !presence.has(2, 0)
        );
        presence.remove(1, 511);
        presence.remove(1, 5_000);
        assert!(!presence.has(1, 511) && presence.has(1, 512));
    }

    #[test]
    fn what_is_gone_costs_nothing() {
        let mut presence = Presence::default();
        (0..10_000).for_each(|page| presence.add(1, page));
        (0..10_000).for_each(|page| presence.remove(1, page));
        presence.add(2, 7);
        presence.forget(2);
        assert!(presence.0.is_empty());
    }
}
