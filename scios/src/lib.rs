//! SciOS: a node's services. Messages, RPC, physical memory and membership; it knows nobody above it.
//!
//! - [`memory`]: regions of shareable memory, the node's frame budget.
//! - [`verbs`]: the fabric: ordered messages, placed pages and one-sided operations, over TCP, RDMA or a simulator.
//! - [`rpc`]: typed requests and one-way messages on top of it.
//! - [`limits`]: every bound of this crate, by name.

pub mod auth;
pub mod ids;
pub mod limits;
pub mod memory;
pub mod rpc;
pub mod time;
pub mod verbs;

pub use ids::{Epoch, NodeId};
pub use time::Nanos;
