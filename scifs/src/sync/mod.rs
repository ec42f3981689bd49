//! Programs that wait for each other across nodes: for a word of a file until somebody notifies (a futex), and for all parties of a
//! barrier. `PROTOCOL.md` tells how, and why it is correct.
//!
//! Pure: everything but `driver.rs` and `deadlines.rs`. Read in this order: [`SyncEngine`] (the contract), [`Input`] and [`Effect`],
//! `client.rs` (what programs want), `queue.rs` and `keeper.rs` (who waits, who is woken), `rounds.rs` (decisions that must reach
//! everybody or nobody), `recovery.rs` (after a death).

mod client;
mod codec;
mod deadlines;
mod driver;
mod engine;
mod ids;
mod input;
mod inspect;
mod keeper;
pub mod limits;
mod message;
mod metrics;
#[cfg(feature = "mutations")]
mod mutation;
mod pending;
mod queue;
mod recovery;
mod rounds;

pub use driver::{Looking, Waits};
pub use engine::SyncEngine;
pub use ids::{BarrierName, Key, Rank, Round, Token, WaiterId, Word};
pub use input::{Effect, Ended, Input, Looked, Refusal, Violation};
pub use message::{Ask, Body, How, Message, OpenedReport, WaitingReport};
#[cfg(feature = "mutations")]
pub use mutation::Mutation;
pub use queue::{Queue, State};
