//! The conformance suite: what `scios::verbs` promises, tried on every fabric. A case is a plain function with a
//! sentence for a name; `cases` lists them all. They run under `cargo test` (`tests/tests/conformance_*.rs`) and, for
//! fabrics that need the guest, in the binary `conformance`.

pub mod cases;
pub mod lab;
pub mod peer;
pub mod recorder;
pub mod runner;
pub mod signal;
pub mod wire;
pub mod world;
pub mod worlds;
