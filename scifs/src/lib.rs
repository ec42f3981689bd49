//! SciFS: a cluster's memory that people mount. The daemon and its command.

pub mod control;
pub mod exit;
pub mod fuse;
pub mod options;
