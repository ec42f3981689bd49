//! Several nodes in this process, over TCP, each with a fake kernel: what threads on different nodes read and write, by request and
//! by mapped pages, is compared with what may be seen.

mod basics;
mod cluster;
mod handover;
mod kernel;
mod many;
mod membership;
mod memory;
mod oracle;
