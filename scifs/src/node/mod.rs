//! The node's pages: the one place where the effects of the coherence engine are performed.
//!
//! Read in this order: [`Pages`] (`pages.rs`: the parts, and who runs what), `turn.rs` (inputs in, effects out, under a shard's lock),
//! `requests.rs` (what the kernel and the daemon ask for), `revoker.rs` (how pages are taken back from the kernel), `peers.rs` and
//! `link.rs` (how messages reach other members), `lifecycle.rs` (truncation, deletion, memberships), `eviction.rs`,
//! `handover.rs` (before an orderly leave). `WIRE.md` has the
//! bytes that travel.

mod access;
mod ahead;
mod asking;
mod awake;
mod census;
mod eviction;
mod fault;
mod file;
mod files;
mod fill;
mod gate;
mod handover;
mod kernel_cache;
mod layout;
mod lifecycle;
mod limits;
mod link;
mod metrics;
mod pages;
mod peers;
mod placement;
mod post;
mod prefetch;
mod programs;
mod requests;
mod revoker;
mod shard;
mod spare;
mod survey;
#[cfg(test)]
mod tests;
mod timers;
mod tokens;
mod turn;
mod view;
mod wire;

pub use census::FileStat;
pub use fault::PageFault;
pub use file::File;
pub use files::Files;
pub use kernel_cache::{KernelCache, NoKernelCache};
pub use layout::{Layout, Piece};
pub use metrics::PageCounts;
pub use pages::{Pages, PagesConfig};
pub use placement::{FreeMemory, Roomy};
pub use prefetch::Later;
pub use programs::{Granted, NoPrograms, Programs};
pub use view::{Membership, NodeMember, NodeView};
