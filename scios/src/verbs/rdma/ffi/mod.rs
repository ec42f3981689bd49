//! libibverbs behind safe types. This is the only module of the fabric with `unsafe` in it. Public so that the fabric can be
//! measured beside a minimal program on the same calls.
//!
//! - The library is loaded at run time ([`Library::load`]), so the binary also runs where it isn't installed.
//! - Every object holds its parents by `Arc` (a queue pair its completion queue, protection domain and receive queue; these
//!   the device; the device the library), so that whatever order the owner drops them in, libibverbs sees children go first.
//! - What `verbs.h` defines as inline functions (`ibv_poll_cq`, `ibv_post_send`, …) goes through the table of the
//!   device's driver, `ibv_context.ops`, as it does in C.
//! - libibverbs is thread-safe; that is why all handles are `Send` and `Sync`.
//!
//! Device access to memory is bounded by registrations: a [`Registration`] keeps its region mapped, and an [`Sge`] is only
//! made from a range inside of one. The caller keeps a registration until the work that names it has completed.
#![allow(unsafe_code)]

// Written by regenerate.sh, which also says how and why.
#[rustfmt::skip]
#[allow(dead_code, missing_debug_implementations, non_camel_case_types, non_upper_case_globals, unreachable_pub)]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
mod bindings;
mod completion;
mod device;
mod error;
mod library;
mod protection;
mod queue_pair;
mod receive;
mod work;

#[cfg(test)]
mod tests;

pub use completion::{Channel, Completion, CompletionKind, CompletionQueue, Outcome};
pub use device::{Device, DeviceLimits, Gid, GidKind, Port};
pub use error::VerbsError;
pub use library::Library;
pub use protection::{Access, ProtectionDomain, Registration, Window};
pub use queue_pair::{PathToPeer, QueuePair, QueuePairSizes};
pub use receive::{ReceiveBuffer, ReceiveQueue};
pub use work::{Payload, Remote, Sge, Work, WorkKind};
