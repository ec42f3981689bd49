//! What is measured on a mount, and beside what.

use clap::ValueEnum;

use crate::report::{Bound, Unit};
use crate::sweep::PAGE_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    ColdFault,
    DirtyMigration,
    PingPong,
    CleanMigration,
    WriteUpgrade,
    LockAgain,
    LockHandOver,
    ReadSequential,
    MapSequential,
    ReadSmall,
    ReadPage,
    WriteSmall,
    WritePage,
}

pub(super) const WORKLOADS: [Workload; 13] = [
    Workload::ColdFault,
    Workload::DirtyMigration,
    Workload::PingPong,
    Workload::CleanMigration,
    Workload::WriteUpgrade,
    Workload::LockAgain,
    Workload::LockHandOver,
    Workload::ReadSequential,
    Workload::MapSequential,
    Workload::ReadSmall,
    Workload::ReadPage,
    Workload::WriteSmall,
    Workload::WritePage,
];

pub(super) const SMALL_BYTES: usize = 64;

/// Pages that go back and forth. So many that each has rested at its new place before it is wanted back: SciFS leaves a page
/// for a moment with whoever has just got it, and that moment is no part of a migration. `PingPong` has it in.
const SWEEP_PAGES: usize = 64;

const FAULTS: usize = 2048;
const MIGRATIONS: usize = 4096;
const REQUESTS: usize = 10_000;
const SEQUENTIAL_PAGES: usize = (256 << 20) / PAGE_BYTES;

/// Measured in the same rounds, because a target is a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    InProcess,
    RoundTrip,
    Stream,
}

impl Reference {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InProcess => "both mounts in one process",
            Self::RoundTrip => "raw TCP, 64 B for 4 KiB",
            Self::Stream => "raw TCP, one stream",
        }
    }
}

/// The most that a migration may take of what FUSE and TCP take by themselves.
const MIGRATION_MOST: f64 = 1.3;
/// The least that reading in order must reach of what TCP alone does.
const SEQUENTIAL_LEAST: f64 = 0.3;

impl Workload {
    /// What the target is made of.
    pub(super) fn references(self) -> &'static [Reference] {
        match self {
            Self::DirtyMigration => &[Reference::InProcess, Reference::RoundTrip],
            Self::ReadSequential | Self::MapSequential => &[Reference::Stream],
            _ => &[],
        }
    }

    pub(super) fn bound(self) -> Option<Bound> {
        match self {
            Self::DirtyMigration => Some(Bound::References(MIGRATION_MOST)),
            Self::ReadSequential | Self::MapSequential => Some(Bound::References(SEQUENTIAL_LEAST)),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ColdFault => "cold fault, mmap",
            Self::DirtyMigration => "migration of a dirty page",
            Self::PingPong => "ping-pong of one page",
            Self::CleanMigration => "migration of a clean page",
            Self::WriteUpgrade => "write upgrade",
            Self::LockAgain => "lock, again here",
            Self::LockHandOver => "lock, from the other node",
            Self::ReadSequential => "sequential, read(2)",
            Self::MapSequential => "sequential, mmap",
            Self::ReadSmall => "pread of 64 B",
            Self::ReadPage => "pread of 4 KiB",
            Self::WriteSmall => "pwrite of 64 B",
            Self::WritePage => "pwrite of 4 KiB",
        }
    }

    /// How the part that loads is told of it.
    pub(super) fn argument(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::ReadSequential | Self::MapSequential => Unit::Rate,
            _ => Unit::Latency,
        }
    }

    /// The length of the file. Powers of two where pages are visited out of order.
    pub(super) fn pages(self, effort: u32) -> usize {
        match self {
            Self::ColdFault => percent(FAULTS, effort).next_power_of_two(),
            Self::DirtyMigration | Self::CleanMigration | Self::WriteUpgrade => SWEEP_PAGES,
            // Never more: the nodes have memory for this.
            Self::ReadSequential | Self::MapSequential => percent(SEQUENTIAL_PAGES, effort.min(100)),
            _ => 1,
        }
    }

    /// Operations that are timed.
    pub(super) fn repeats(self, effort: u32) -> usize {
        match self {
            Self::ColdFault | Self::ReadSequential | Self::MapSequential => self.pages(effort),
            Self::DirtyMigration | Self::PingPong | Self::CleanMigration | Self::WriteUpgrade => {
                percent(MIGRATIONS, effort).next_multiple_of(2 * SWEEP_PAGES)
            }
            _ => percent(REQUESTS, effort),
        }
    }
}

fn percent(usual: usize, effort: u32) -> usize {
    (usual * effort as usize / 100).max(SWEEP_PAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_always_complete_and_cold_faults_meet_each_page_once() {
        for effort in [1, 10, 100, 333, 1000] {
            for workload in WORKLOADS {
                let (pages, repeats) = (workload.pages(effort), workload.repeats(effort));
                assert!(pages > 0 && repeats.is_multiple_of(pages), "{workload:?} {effort}");
                assert!(workload.unit() == Unit::Rate || pages.is_power_of_two(), "{workload:?} {effort}");
            }
        }
    }
}
