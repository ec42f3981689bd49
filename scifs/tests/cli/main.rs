//! The command `scifs` as people, mount(8) and systemd use it: real processes and real mounts.

mod bad_input;
mod dev;
mod exec;
mod files;
mod libscifs;
mod mounting;
mod programs;
mod segment;
mod services;
mod support;
mod syscalls;
mod teaching;
