//! Typed messages between nodes: requests with a deadline that end exactly once, and one-way messages.
//!
//! - [`codec`]: how values become bytes; the layouts are in `WIRE.md`.

pub mod codec;
