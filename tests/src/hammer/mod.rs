//! Many processes on one page, each on its own directory, for a fixed time: nothing is lost, nobody starves, and a process that
//! is killed in the middle of it all harms nobody.
//!
//! `work` is what each process does, `run` starts them and looks at what they left.

pub mod run;
pub mod work;
