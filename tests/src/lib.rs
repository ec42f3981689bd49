//! Tests that need more than one crate, and what they share.

pub mod cluster;
pub mod conformance;
pub mod hammer;
pub mod hostile;
pub mod invariants;
pub mod litmus;
pub mod locks;
pub mod model;
pub mod mutations;
pub mod posix;
pub mod scattered;
pub mod shared;
pub mod waiting;
