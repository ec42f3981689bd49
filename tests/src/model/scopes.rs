//! The clusters that are explored.

use std::sync::Arc;
use std::time::Duration;

use scifs::coherence::{
    Config, ExtentId, FirstTouch, MapperId, MemberNo, Mutation, PageId, Placement, Protocol, SegmentId,
    Strict,
};

use super::station::Op;
use super::world::Scope;

/// The home of segment `n` is member `n`, so that a scope says where homes are.
#[derive(Clone, Copy, Debug)]
pub struct BySegment;

impl Placement for BySegment {
    fn home(&self, extent: ExtentId, _: MemberNo, _: MemberNo) -> MemberNo {
        MemberNo(extent.segment.0 as u32)
    }
}

const PROCESS: MapperId = MapperId(1);

pub fn page(segment: u64) -> PageId {
    PageId { segment: SegmentId(segment), index: 0 }
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        hold_min: Duration::ZERO,
        placement: Arc::new(BySegment),
        protocol: Arc::new(Strict),
        mutation: None,
    })
}

/// `nodes` nodes with one thread each, reading and writing `pages` pages with different homes.
pub fn peaceful(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope {
        config: config(),
        threads: vec![vec![PROCESS]; nodes],
        ops: (0..pages).flat_map(|n| [Op::Read(page(n)), Op::Write(page(n))]).collect(),
        ops_per_thread,
        prompt: true,
        evictions: 0,
        crashes: 0,
        restarts: 0,
        shocks: 0,
        leaves: 0,
        mortals: (0..nodes).collect(),
        warm: true,
        mixed_epochs: false,
    }
}

/// The same, and one node dies and comes back, at any moment.
pub fn deadly(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope { crashes: 1, restarts: 1, ..peaceful(nodes, pages, ops_per_thread) }
}

/// One node dies, and nobody comes.
pub fn dying(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope { restarts: 0, ..deadly(nodes, pages, ops_per_thread) }
}

/// Nobody knows where homes are: who touches first asks for it and becomes it.
pub fn cold(scope: Scope) -> Scope {
    let config = Config { placement: Arc::new(FirstTouch), ..(*scope.config).clone() };
    Scope { warm: false, config: Arc::new(config), ..scope }
}

/// Page cache and a process on one node, processes on the others; surfaces take their time and go on storing meanwhile.
pub fn surfaces(nodes: usize, ops_per_thread: u32) -> Scope {
    let mut threads = vec![vec![PROCESS]; nodes];
    threads[0].insert(0, MapperId::FILE);
    Scope { threads, prompt: false, ..peaceful(nodes, 1, ops_per_thread) }
}

/// Winners keep a page for a while.
pub fn holding(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    let scope = peaceful(nodes, pages, ops_per_thread);
    let config = Config { hold_min: Duration::from_micros(10), ..(*scope.config).clone() };
    Scope { config: Arc::new(config), ..scope }
}

/// Nodes give pages up.
pub fn evicting(scope: Scope, evictions: u8) -> Scope {
    Scope { evictions, threads: vec![vec![MapperId::DIRECT]; scope.threads.len()], ..scope }
}

/// Pages are also overwritten whole, which brings lost ones back to life.
pub fn overwriting(scope: Scope) -> Scope {
    let mut ops = scope.ops.clone();
    ops.extend(scope.ops.iter().filter_map(|op| match op {
        Op::Write(page) => Some(Op::Overwrite(*page)),
        _ => None,
    }));
    Scope { ops, ..scope }
}

/// A node dies, and the epoch also changes once for another reason: views may come while the last one is being dealt with.
pub fn shaken(nodes: usize, pages: u64, ops_per_thread: u32) -> Scope {
    Scope { shocks: 1, restarts: 0, ..deadly(nodes, pages, ops_per_thread) }
}

/// A node leaves in an orderly way, at any moment.
pub fn leaving(scope: Scope) -> Scope {
    Scope { leaves: 1, ..scope }
}

/// Messages cross the change of epoch.
pub fn mixed_epochs(scope: Scope) -> Scope {
    Scope { mixed_epochs: true, ..scope }
}

impl Scope {
    pub fn with_mutation(mut self, mutation: Mutation) -> Self {
        self.config = Arc::new(Config { mutation: Some(mutation), ..(*self.config).clone() });
        self
    }

    pub fn with_protocol(mut self, protocol: Arc<dyn Protocol>) -> Self {
        self.config = Arc::new(Config { protocol, ..(*self.config).clone() });
        self
    }
}
