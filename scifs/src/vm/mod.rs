//! Programs that share this node's memory: they map a file's memory file themselves, and their page faults come here through
//! userfaultfds. To the coherence engine all of them together are one mapper (`MapperId::VM`), beside the kernel's page cache and
//! the daemon itself.
//!
//! Read in this order: [`Vm`] (`service.rs`: the parts, and what becomes of a fault), `process.rs` (one process, and the rule that
//! keeps it and its mappings together), `events.rs` (the thread that reads what happens), `socket.rs` (how programs come),
//! `keeper.rs` (what guards programs against the daemon's death), `ranges.rs` and `presence.rs` (pure). `docs/vm.md` has what the kernel does and what was measured.

mod events;
pub mod keeper;
mod limits;
mod metrics;
mod presence;
mod proc_maps;
mod process;
mod ranges;
mod service;
mod socket;
mod streak;
mod table;
mod tickets;
mod uffd;
mod upward;

pub use service::{Vm, VmError};
pub use upward::{SizeDone, Upward};
