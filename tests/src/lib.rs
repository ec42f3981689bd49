//! Tests that need more than one crate.

pub mod model;
pub mod mutations;
