//! Many processes on one page, each on its own directory, for a fixed time: nothing is lost, nobody starves, and a process that
//! is killed in the middle of it all harms nobody.
//!
//! `work` is what each process does, `case` has the processes and looks at what they left, `run` are the cases; `storm` kills
//! processes by the thousand, `victim` is what they are.

mod case;
pub mod run;
pub mod storm;
pub mod victim;
pub mod work;
