//! The kernel's side of a FUSE mount: `/dev/fuse`, its requests, replies and notifications. It knows nothing of
//! segments.
//!
//! Own code instead of the `fuser` crate for one reason: fuser (0.18) answers INTERRUPT with ENOSYS and lets nobody change
//! that, after which the kernel sends no interrupts any more and a process that waits for a lock can be neither
//! interrupted nor killed. What is here besides is small: no request waits in a thread of its own, a [`Reply`] can be
//! kept and answered by whichever thread gets the page.

mod device;
mod ioctl;
mod mount;
mod notify;
mod reply;
mod request;
mod session;
mod timing;

pub use ioctl::{IOCTL_BYTES_MAX, Ioctl};
pub use mount::{MountError, MountSetting};
pub use notify::Notifier;
pub use reply::{Attr, DirBuffer, Entry, FileKind, OpenFlags, Reply, StatFs};
pub use request::{FileLock, Forget, Header, Operation, SetAttr, SetTime};
pub use session::{FileSystem, Session, SessionConfig, is_worker};
