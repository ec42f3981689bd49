//! The clusters that are explored.

use std::sync::Arc;
use std::time::Duration;

use scifs::coherence::{
    Config, ExtentId, MapperId, MemberNo, Mutation, PageId, Placement, Protocol, SegmentId, Strict,
};

use super::station::Op;
use super::world::Scope;

/// The home of segment `n` is member `n`, so that a scope says where homes are.
#[derive(Clone, Copy, Debug)]
pub struct BySegment;

impl Placement for BySegment {
    fn home(&self, extent: ExtentId, _: MemberNo, _: MemberNo) -> MemberNo {
        MemberNo(extent.segment.0 as u16)
    }
}

const PROCESS: MapperId = MapperId(1);

pub fn page(segment: u64) -> PageId {
    PageId { segment: SegmentId(segment), index: 0 }
}

pub fn config(mutation: Option<Mutation>, protocol: Arc<dyn Protocol>) -> Arc<Config> {
    Arc::new(Config { hold_min: Duration::ZERO, placement: Arc::new(BySegment), protocol, mutation })
}

/// `nodes` nodes with one thread each, reading and writing `pages` pages with different homes.
pub fn peaceful(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope {
        config: config(None, Arc::new(Strict)),
        threads: vec![vec![PROCESS]; nodes],
        ops: (0..pages).flat_map(|n| [Op::Read(page(n)), Op::Write(page(n))]).collect(),
        ops_per_thread,
        prompt: true,
        evictions: 0,
        crashes: 0,
        restarts: 0,
        warm: true,
        mixed_epochs: false,
    }
}

/// The same, and one node dies and comes back, at any moment.
pub fn deadly(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope { crashes: 1, restarts: 1, ..peaceful(nodes, pages, ops_per_thread) }
}

impl Scope {
    pub fn with_mutation(mut self, mutation: Mutation) -> Self {
        self.config = Arc::new(Config { mutation: Some(mutation), ..(*self.config).clone() });
        self
    }
}
