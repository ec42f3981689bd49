//! Tests that need more than one crate, and what they share.

pub mod conformance;
//! What tests need that touch more than one crate.

pub mod cluster;
pub mod invariants;
