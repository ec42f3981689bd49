//! Tests that need more than one crate, and what they share.

pub mod cluster;
pub mod conformance;
pub mod invariants;
pub mod locks;
pub mod model;
pub mod mutations;
