//! What is measured: which process of which node does what to a file's pages, and what of it counts.

use super::order::{Order, What};
use crate::report::{Bound, Unit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    ReadMiss,
    Migration,
    WriteUpgrade,
    LocalFault,
    Sequential,
    /// This many threads of one node load what the other has.
    Threads(usize),
    /// On each of so many nodes, one thread loads what the next node has.
    Nodes(usize),
    /// What all processes of both nodes work for one fault of `Threads(1)`.
    Processors,
}

pub(super) const WORKLOADS: [Workload; 11] = [
    Workload::ReadMiss,
    Workload::Migration,
    Workload::WriteUpgrade,
    Workload::LocalFault,
    Workload::Sequential,
    Workload::Threads(1),
    Workload::Threads(2),
    Workload::Threads(4),
    Workload::Nodes(2),
    Workload::Nodes(3),
    Workload::Processors,
];

/// Of what a minimal program takes for the same.
const MISS_MOST: f64 = 1.3;
/// For a page that is on this node.
const LOCAL_MOST_US: f64 = 10.0;
/// Of what TCP alone does.
const SEQUENTIAL_LEAST: f64 = 0.5;

/// Pages that go back and forth: so many that SciFS, which leaves a page for a moment with whoever has just got it, lets go of each without
/// waiting. That moment is no part of a migration.
const SWEEP_PAGES: usize = 256;
const MISSES: usize = 2048;
const MIGRATIONS: usize = 4096;
/// Long enough for the kernel's clock of what a process has used, which ticks a hundred times a second.
const MANY_MISSES: usize = 16_384;
const SEQUENTIAL_PAGES: usize = 32_768;

impl Workload {
    pub(super) fn name(self) -> String {
        match self {
            Self::ReadMiss => "read miss of 4 KiB".into(),
            Self::Migration => "exclusive migration".into(),
            Self::WriteUpgrade => "write upgrade, a reader elsewhere".into(),
            Self::LocalFault => "local fault, other process".into(),
            Self::Sequential => "sequential fetch".into(),
            Self::Threads(threads) => format!("faults/s, threads={threads}"),
            Self::Nodes(nodes) => format!("faults/s, nodes={nodes}"),
            Self::Processors => "processor time of a read miss".into(),
        }
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Sequential => Unit::Rate,
            Self::Threads(_) | Self::Nodes(_) => Unit::Frequency,
            _ => Unit::Latency,
        }
    }

    pub(super) fn bound(self) -> Option<Bound> {
        match self {
            Self::ReadMiss | Self::Migration => Some(Bound::Floors(MISS_MOST)),
            Self::LocalFault => Some(Bound::Microseconds(LOCAL_MOST_US)),
            Self::Sequential => Some(Bound::References(SEQUENTIAL_LEAST)),
            _ => None,
        }
    }

    /// The length of the file: a power of two where pages are visited out of order, for each node where each visits its own.
    pub(super) fn pages(self, effort: u32) -> usize {
        match self {
            Self::ReadMiss | Self::LocalFault => percent(MISSES, effort).next_power_of_two(),
            Self::Migration | Self::WriteUpgrade => SWEEP_PAGES,
            // Never more: the nodes have memory for this.
            Self::Sequential => percent(SEQUENTIAL_PAGES, effort.min(100)),
            Self::Threads(_) | Self::Processors => percent(MANY_MISSES, effort.min(100)).next_power_of_two(),
            Self::Nodes(nodes) => nodes * percent(MANY_MISSES / 4, effort.min(400)).next_power_of_two(),
        }
    }

    /// The node of each process.
    pub(super) fn places(self) -> Vec<usize> {
        match self {
            Self::LocalFault => vec![0, 0],
            Self::Nodes(nodes) => (0..nodes).collect(),
            _ => vec![0, 1],
        }
    }

    /// Whether there is a minimal program for it: it knows two nodes.
    pub(super) fn has_floor(self) -> bool {
        !matches!(self, Self::Nodes(nodes) if nodes > 2)
    }

    /// What is done before anything counts: every page is written by whoever is to be asked for it.
    pub(super) fn preparation(self, effort: u32) -> Vec<(usize, Order)> {
        match self {
            Self::Nodes(nodes) => self.shares(nodes, What::Write, effort),
            _ => vec![(0, Order::new(What::Write, 0, 0..self.pages(effort)))],
        }
    }

    /// Steps, each of orders that are given at once; and whether the step counts.
    pub(super) fn steps(self, effort: u32) -> Vec<(Vec<(usize, Order)>, bool)> {
        let all = 0..self.pages(effort);
        let load = |stores| Order::new(What::Load, stores, all.clone());
        let store = |stores| Order::new(What::Store, stores, all.clone());
        let sweeps = 0..percent(MIGRATIONS, effort).div_ceil(SWEEP_PAGES) as u64;
        match self {
            Self::ReadMiss | Self::LocalFault | Self::Processors => vec![(vec![(1, load(0))], true)],
            Self::Migration => {
                let turn = |stores: u64| (vec![((stores as usize + 1) % 2, store(stores))], true);
                sweeps.map(turn).collect()
            }
            Self::WriteUpgrade => {
                let turn = |stores| [(vec![(1, load(stores))], false), (vec![(0, store(stores))], true)];
                sweeps.flat_map(turn).collect()
            }
            Self::Sequential => vec![(vec![(1, Order::new(What::Read, 0, all.clone()))], true)],
            Self::Threads(threads) => vec![(vec![(1, load(0).by(threads))], true)],
            Self::Nodes(nodes) => vec![(self.shares(nodes, What::Load, effort), true)],
        }
    }

    /// Each node writes its share of the pages, or loads the next node's.
    fn shares(self, nodes: usize, what: What, effort: u32) -> Vec<(usize, Order)> {
        let share = self.pages(effort) / nodes;
        let of = |node: usize| node * share..(node + 1) * share;
        let whose = |node: usize| if what == What::Write { node } else { (node + 1) % nodes };
        (0..nodes).map(|node| (node, Order::new(what, 0, of(whose(node))))).collect()
    }
}

fn percent(usual: usize, effort: u32) -> usize {
    (usual * effort as usize / 100).max(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_that_is_loaded_or_stored_was_written_and_has_seen_as_many_stores() {
        for effort in [1, 100, 1000] {
            for workload in WORKLOADS {
                let mut seen = vec![None; workload.pages(effort)];
                let steps = workload.steps(effort).into_iter().flat_map(|(orders, _)| orders);
                for (who, order) in workload.preparation(effort).into_iter().chain(steps) {
                    assert!(who < workload.places().len());
                    for stores in &mut seen[order.pages()] {
                        match order.what {
                            What::Write => *stores = Some(0),
                            What::Store => *stores = stores.map(|stores: u64| stores + 1),
                            What::Load | What::Read => {}
                        }
                        let now = order.stores + u64::from(order.what == What::Store);
                        assert_eq!(*stores, Some(now), "{workload:?} {effort}");
                    }
                }
            }
        }
    }
}
