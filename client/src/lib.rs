//! libscifs: what programs use of a node's memory beyond the mounted files.
//!
//! A file of a mount that is mapped through here is served by userfaultfd: its pages are those of the node's daemon itself, so nothing
//! is copied between the kernel's page cache and it, and many may read a page that one may write. Where that can't be had (no
//! userfaultfd for this user, an older node), the same call maps the file through the kernel: slower, and just as coherent.
//!
//! - Rust programs use [`Segment`]; C programs what is in `include/scifs.h` (package `scifs-c`, over [`raw`]); programs that know nothing of
//!   SciFS run under `scifs exec`, which loads package `scifs-preload` (over [`attach`]).
//! - [`abi`] is what goes between here and the daemon.
//!
//! `unsafe` is in `sys`, where the system calls are, in `memory`, which reads and writes what is mapped, and at the two calls of `mmap`.

pub mod abi;
pub mod attach;
mod error;
mod locks;
mod mapping;
mod memory;
mod mount;
mod node;
pub mod raw;
mod registry;
mod segment;
mod session;
mod sync;
pub mod sys;

pub use attach::Why;
pub use error::{Error, advice};
pub use locks::Mode;
pub use mapping::is_ours;
pub use node::info;
pub use registry::begin;
pub use rustix::io::Errno;
pub use segment::{Access, Guard, Segment};
pub use sync::{Woken, barrier};
