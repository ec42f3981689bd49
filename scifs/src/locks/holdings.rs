//! What this node's programs hold: what was granted and not yet given up. After a change of epoch the cluster's tables are
//! rebuilt from this, so it never holds more than the table does.

use std::collections::BTreeMap;

use super::ids::{Kind, LocalOwner, Range};
use super::message::HeldReport;
use super::ranges::Ranges;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Holdings {
    held: BTreeMap<(u64, LocalOwner), Holding>,
    /// In how many files an owner holds something.
    files: BTreeMap<LocalOwner, u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Holding {
    pid: u32,
    ranges: Ranges,
}

impl Holdings {
    pub(super) fn covers(&self, inode: u64, owner: LocalOwner, range: Range, kind: Kind) -> bool {
        self.held.get(&(inode, owner)).is_some_and(|h| h.ranges.covers(range, kind))
    }

    pub(super) fn exceeds(&self, inode: u64, owner: LocalOwner, range: Range, kind: Option<Kind>) -> bool {
        self.held.get(&(inode, owner)).is_some_and(|h| h.ranges.exceeds(range, kind))
    }

    /// Whether the owner holds something somewhere, so that others may wait for it.
    pub(super) fn holds(&self, owner: LocalOwner) -> bool {
        self.files.contains_key(&owner)
    }

    pub(super) fn raise(&mut self, inode: u64, owner: LocalOwner, pid: u32, range: Range, kind: Kind) {
        let holding = self.held.entry((inode, owner)).or_insert_with(|| {
            *self.files.entry(owner).or_default() += 1;
            Holding { pid, ranges: Ranges::default() }
        });
        holding.ranges.raise(range, kind);
    }

    pub(super) fn lower(&mut self, inode: u64, owner: LocalOwner, range: Range, to: Option<Kind>) {
        let Some(holding) = self.held.get_mut(&(inode, owner)) else { return };
        holding.ranges.lower(range, to);
        if holding.ranges.is_empty() {
            self.held.remove(&(inode, owner));
            if let Some(files) = self.files.get_mut(&owner) {
                *files -= 1;
                if *files == 0 {
                    self.files.remove(&owner);
                }
            }
        }
    }

    pub(super) fn report(&self) -> impl Iterator<Item = HeldReport> + '_ {
        self.held.iter().flat_map(|((inode, owner), holding)| {
            let piece =
                |(range, kind)| HeldReport { inode: *inode, owner: *owner, pid: holding.pid, range, kind };
            holding.ranges.iter().map(piece)
        })
    }
}
