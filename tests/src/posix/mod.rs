//! One file through several directories that are said to be one file system: a seeded list of steps, done through one
//! directory after another, against a model in memory.
//!
//! `steps` makes the list, `model` is what the file should hold, `play` does the steps in a process of its own (a file
//! system that is wrong about sizes kills it with SIGBUS), `shrink` looks for fewer steps that fail, too.

pub mod model;
pub mod play;
pub mod shrink;
pub mod steps;
pub mod turns;
