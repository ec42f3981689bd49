//! Membership: who belongs to the cluster, in numbered views; who may act, by leases; and one replicated state that the
//! layers above share.
//!
//! [`Cluster`] is pure: [`Cluster::handle`] takes the time and an [`Input`] and returns [`Effect`]s. It has no socket,
//! no clock, no thread and no source of chance of its own, so the simulator runs exactly what production runs. Its
//! driver
//! - calls `handle` with [`Input::Start`] once, [`Input::Tick`] at least every [`Timing::tick`], and every event of the
//!   fabric, one at a time, with a clock that never goes back;
//! - performs the effects in the order in which they are given;
//! - drops the node after [`Effect::Expelled`], [`Effect::Left`] or [`Effect::JoinFailed`]; to join again it needs
//!   a new [`NodeId`](crate::NodeId).
//!
//! | file | what it knows |
//! |---|---|
//! | `core`, `applying`, `life` | the order of things: inputs and their consequences; from the log to the state; the end |
//! | `commands`, `proposals` | the way of a command to the leader and back; those under way |
//! | `joining`, `renewal`, `leading` | becoming a member; leases at work; what only a leader does |
//! | `lease`, `timing` | the clocks behind it; `LEASES.md` has the argument |
//! | `state`, `command`, `view` | what is replicated |
//! | `consensus`, `changes`, `log`, `guard`, `raft_wire`, `parts` | the consensus library, tamed |
//! | `announcements`, `wire`, `api`, `status` | soft state; messages; the surface |
//! | `driver` | [`ClusterNode`]: all of it on an RPC endpoint |
//!
//! What is absent: nothing but `driver` knows that threads exist, and nothing at all opens a socket, reads a clock, starts a thread or writes a file.

mod announcements;
mod api;
mod applying;
mod changes;
mod command;
mod commands;
mod consensus;
mod core;
mod driver;
mod guard;
mod joining;
mod leading;
mod lease;
mod life;
mod log;
mod parts;
mod proposals;
mod raft_wire;
mod renewal;
mod state;
mod status;
mod timing;
mod view;
mod wire;

pub use self::api::{Config, Effect, Input, JoinError, Standing};
pub use self::command::{Cause, Outcome, Refusal};
pub use self::core::Cluster;
pub use self::driver::{ClusterNode, Decision, Ended, Watcher};
pub use self::proposals::ProposeError;
pub use self::state::{Machine, NoMachine};
pub use self::status::{Quorum, Status};
pub use self::timing::{CLOCK_DRIFT_MAX_PERCENT, Timing};
pub use self::view::{Member, View};
pub use self::wire::{Announcement, ClusterMessage};
