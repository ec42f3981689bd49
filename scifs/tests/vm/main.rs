//! Programs that share a node's memory, on real mounts of one and several nodes.

mod ends;
mod hostile;
#[allow(dead_code)]
#[path = "../mount/program.rs"]
mod program;
mod sharing;
#[allow(dead_code)]
#[path = "../mount/support.rs"]
mod support;
