//! Litmus tests of directories: each thread of a test is a process that works on its own directory, and all directories are
//! said to be one file system. Zero outcomes may be seen that x86-TSO forbids.
//!
//! `program` is a test as data, `shapes` the table of them, `tso` what the memory model allows; `place` lays variables out
//! in files, `pace` says how long threads wait for each other, `play` is a thread of a test in its process, `run` starts the processes, `verdict` judges what they saw.

pub mod control;
pub mod pace;
pub mod place;
pub mod play;
pub mod program;
pub mod run;
pub mod shapes;
pub mod tso;
pub mod verdict;
