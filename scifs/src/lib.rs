//! A cluster's memory that people mount: segments, coherence, the daemon and its command.

pub mod exit;
pub mod options;
