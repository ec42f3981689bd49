//! Mounts that are treated badly: nodes and programs of one cluster on this machine, each a process, with everything bounded.

pub mod cluster;
pub mod toucher;
