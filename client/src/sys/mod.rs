//! The system calls that nobody wraps safely.

mod fork;
mod ioctl;
mod memory;
mod record_lock;
mod userfault;

pub(crate) use fork::{AtFork, set_handlers};
pub use fork::{begin, is_borrowed};
pub(crate) use ioctl::{read, write};
pub use memory::{Request, map};
pub(crate) use memory::{not_inherited, protect, unmap};
pub(crate) use record_lock::{Kind, set_lock};
pub(crate) use userfault::userfault;
