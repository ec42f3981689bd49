//! Locks of files across nodes: `flock`, POSIX and OFD record locks. `PROTOCOL.md` tells how, and why it is correct.
//!
//! Pure: everything but `driver.rs`. Read in this order: [`LockEngine`] (the contract), [`Input`] and [`Effect`], `table.rs` (who is
//! granted what), `pending.rs` and `client.rs` (what programs want), `route.rs` and `manager.rs` (where the table is),
//! `detector.rs` (deadlocks), `recovery.rs` (after a death).

mod client;
mod codec;
mod detector;
mod driver;
mod engine;
mod handles;
mod holdings;
mod ids;
mod input;
mod inspect;
pub mod limits;
mod manager;
mod message;
#[cfg(feature = "mutations")]
mod mutation;
mod pending;
mod ranges;
mod recovery;
mod route;
mod table;

pub use driver::{LockRequest, Locks};
pub use engine::LockEngine;
pub use ids::{Kind, LocalOwner, Owner, Range, Space, Token, WaiterId};
pub use input::{Conflict, Effect, Input, Refusal, Request, Violation};
pub use message::{
    Acquire, Ask, Body, Edge, HeldPart, HeldReport, Message, Seek, TableParts, Verdict, WaitingPart, Why,
};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use ranges::Ranges;
pub use table::{Table, Waiter};
