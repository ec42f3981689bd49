//! The command `scifs` as people, mount(8) and systemd use it: real processes and real mounts.

mod bad_input;
mod dev;
mod files;
mod mounting;
mod services;
mod support;
mod teaching;
