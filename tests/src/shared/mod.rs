//! What the tests of directories have in common: memory between processes, and processes that don't outlive their test.

pub mod calls;
pub mod clock;
pub mod mapped;
pub mod surface;
pub mod team;
pub mod watchdog;
