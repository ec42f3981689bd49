//! SciFS: a cluster's memory that people mount.
//!
//! - [`coherence`]: who may read and write which page; a pure state machine.

pub mod coherence;
