//! SciFS: a cluster's memory that people mount. The daemon and its command.
//!
//! - [`coherence`]: who may read and write which page; a pure state machine.
//! - [`names`]: which files there are and what they are called; a pure state machine that the cluster replicates.

pub mod cli;
pub mod coherence;
pub mod control;
pub mod exit;
pub mod fuse;
pub mod metrics_http;
pub mod mount;
pub mod names;
pub mod notify;
pub mod options;
pub mod tools;
