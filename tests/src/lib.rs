//! What tests need that touch more than one crate.

pub mod cluster;
pub mod invariants;
