//! The command `scifs`, from outside: processes that form clusters, and what they say to nonsense.

mod bad_input;
mod cluster;
mod support;
