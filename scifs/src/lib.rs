//! SciFS: a cluster's memory that people mount. The daemon and its command.
//!
//! - [`coherence`]: who may read and write which page; a pure state machine.
//! - [`names`]: the name space; a replicated state machine.
//! - [`locks`]: `flock` and record locks across nodes; a pure state machine and its driver.
//! - [`sync`]: programs that wait for each other across nodes; likewise.

pub mod cli;
pub mod coherence;
pub mod control;
pub mod exit;
pub mod fuse;
pub mod locks;
pub mod members;
pub mod metrics_http;
pub mod mount;
pub mod names;
pub mod node;
pub mod notify;
pub mod options;
pub mod sync;
pub mod tools;
pub mod vm;
