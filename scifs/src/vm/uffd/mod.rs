//! userfaultfd(2): the calls that serve the page faults of another process, and the messages about them.
//!
//! No crate was taken: `userfaultfd` 0.9 knows neither poisoning nor continuing a page write-protected, and has no way to set up
//! a descriptor that another process made.
#![allow(unsafe_code)]

mod message;

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::ioctl::{Opcode, Setter, Updater, ioctl, opcode};

use message::{MESSAGE_BYTES, RawEvent, parse};

/// A range of addresses in the other process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    span: Span,
    mode: u64,
    ioctls: u64,
}

/// The layout that several of the calls have.
#[repr(C)]
struct Mapped {
    span: Span,
    mode: u64,
    done: i64,
}

#[repr(C)]
struct Protect {
    span: Span,
    mode: u64,
}

const GROUP: u8 = 0xAA;
const API: Opcode = opcode::read_write::<Api>(GROUP, 0x3F);
const REGISTER: Opcode = opcode::read_write::<Register>(GROUP, 0x00);
const WAKE: Opcode = opcode::read::<Span>(GROUP, 0x02);
const WRITEPROTECT: Opcode = opcode::read_write::<Protect>(GROUP, 0x06);
const CONTINUE: Opcode = opcode::read_write::<Mapped>(GROUP, 0x07);
const POISON: Opcode = opcode::read_write::<Mapped>(GROUP, 0x08);

const API_VERSION: u64 = 0xAA;
const FEATURE_WP: u64 = 1 << 0;
const FEATURE_FORK: u64 = 1 << 1;
const FEATURE_REMAP: u64 = 1 << 2;
const FEATURE_MISSING_SHMEM: u64 = 1 << 5;
const FEATURE_UNMAP: u64 = 1 << 6;
const FEATURE_THREAD_ID: u64 = 1 << 8;
const FEATURE_MINOR_SHMEM: u64 = 1 << 10;
const FEATURE_WP_SHMEM: u64 = 1 << 12;

const FEATURES: u64 = FEATURE_WP
    | FEATURE_REMAP
    | FEATURE_MISSING_SHMEM
    | FEATURE_UNMAP
    | FEATURE_THREAD_ID
    | FEATURE_MINOR_SHMEM
    | FEATURE_WP_SHMEM;

/// Missing pages, write-protected ones, and those that are there but not mapped.
const REGISTER_ALL: u64 = 1 | 2 | 4;
const PROTECT_WP: u64 = 1;
const CONTINUE_WP: u64 = 2;

/// What any process may map: nothing lies below, and nothing beyond 47 bits.
const ADDRESSES_START: u64 = 1 << 16;
const ADDRESSES_END: u64 = (1 << 47) - 4096;

/// Read at once.
const MESSAGES: usize = 16;

/// A userfaultfd of some process.
#[derive(Debug)]
pub(super) struct Userfault(OwnedFd);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageFault {
    pub(super) address: u64,
    /// The access was a store.
    pub(super) write: bool,
    /// The page is mapped, but protected.
    pub(super) protected: bool,
    /// In the process's own numbering.
    pub(super) thread: u32,
}

#[derive(Debug)]
pub(super) enum Event {
    Fault(PageFault),
    /// The child's descriptor: it maps what its parent did.
    Fork(Userfault),
    Remap {
        from: u64,
        to: u64,
        bytes: u64,
    },
    Unmap {
        start: u64,
        end: u64,
    },
}

impl Userfault {
    /// Sets up a descriptor that a process has made and not used. True: it tells of children; for that this process needs rights
    /// over others.
    pub(super) fn begin(file: OwnedFd) -> Result<(Self, bool), Errno> {
        rustix::fs::fcntl_setfl(&file, OFlags::NONBLOCK)?;
        let this = Self(file);
        match this.api(FEATURES | FEATURE_FORK) {
            Ok(()) => Ok((this, true)),
            Err(Errno::PERM) => this.api(FEATURES).map(|()| (this, false)),
            Err(errno) => Err(errno),
        }
    }

    /// One that is set up already.
    pub(super) fn of(file: OwnedFd) -> Self {
        Self(file)
    }

    fn api(&self, features: u64) -> Result<(), Errno> {
        let mut api = Api { api: API_VERSION, features, ioctls: 0 };
        // SAFETY: `Api` is the kernel's struct uffdio_api, which it reads and writes.
        unsafe { ioctl(&self.0, Updater::<API, _>::new(&mut api)) }
    }

    /// From now on faults in these addresses are told here.
    pub(super) fn register(&self, span: Span) -> Result<(), Errno> {
        let mut register = Register { span, mode: REGISTER_ALL, ioctls: 0 };
        // SAFETY: `Register` is the kernel's struct uffdio_register, which it reads and writes. The addresses are the other
        // process's; nothing of this one changes.
        unsafe { ioctl(&self.0, Updater::<REGISTER, _>::new(&mut register)) }
    }

    /// Maps frames that are there, also over poison, and wakes who waits; at least the first of them, up to the first that can't
    /// be. EEXIST: the first is mapped already. EFAULT: it isn't
    /// there. EAGAIN: an event has to be read first. ENOENT: nothing is registered there. ESRCH: the process is gone.
    pub(super) fn map(&self, span: Span, writable: bool) -> Result<(), Errno> {
        let mode = if writable { 0 } else { CONTINUE_WP };
        let mut mapped = Mapped { span, mode, done: 0 };
        // SAFETY: `Mapped` is the kernel's struct uffdio_continue, which it reads and writes. Only the other process's page
        // tables change.
        let result = unsafe { ioctl(&self.0, Updater::<CONTINUE, _>::new(&mut mapped)) };
        if mapped.done > 0 { Ok(()) } else { result }
    }

    /// Lets the pages be written that are mapped, and wakes who waits; or has stores to them told. EAGAIN and the others as
    /// for `map`.
    pub(super) fn protect(&self, span: Span, writable: bool) -> Result<(), Errno> {
        let mode = if writable { 0 } else { PROTECT_WP };
        let mut protect = Protect { span, mode };
        // SAFETY: `Protect` is the kernel's struct uffdio_writeprotect. Only the other process's page tables change.
        unsafe { ioctl(&self.0, Updater::<WRITEPROTECT, _>::new(&mut protect)) }
    }

    /// Whoever touches these pages, which aren't mapped, gets SIGBUS, or EFAULT from a system call.
    pub(super) fn poison(&self, span: Span) -> Result<(), Errno> {
        let mut mapped = Mapped { span, mode: 0, done: 0 };
        // SAFETY: `Mapped` is the kernel's struct uffdio_poison, which it reads and writes. Only the other process's page tables
        // change.
        unsafe { ioctl(&self.0, Updater::<POISON, _>::new(&mut mapped)) }
    }

    /// Has whoever waits for these pages try again.
    pub(super) fn wake(&self, span: Span) -> Result<(), Errno> {
        // SAFETY: `Span` is the kernel's struct uffdio_range, which it reads, whatever the call's number says.
        unsafe { ioctl(&self.0, Setter::<WAKE, _>::new(span)) }
    }

    /// Has everybody who waits try again.
    pub(super) fn wake_all(&self) {
        // Whoever is gone needs no waking.
        let _ = self.wake(Span { start: ADDRESSES_START, bytes: ADDRESSES_END - ADDRESSES_START });
    }

    /// Whether the process has such addresses at all: false when it has ended or become another program. EAGAIN if an event has
    /// to be read before anybody can tell.
    pub(super) fn is_alive(&self) -> bool {
        let nothing = Span { start: ADDRESSES_START, bytes: 4096 };
        self.protect(nothing, true) != Err(Errno::SRCH)
    }

    /// What has happened, in order; nothing when there is no more. Never waits, although whoever made the descriptor can
    /// make it one that does.
    pub(super) fn read(&self, events: &mut Vec<Event>) -> Result<bool, Errno> {
        let mut bytes = [0; MESSAGES * MESSAGE_BYTES];
        let read = match self.read_now(&mut bytes) {
            Ok(read) => read,
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        for message in bytes.get(..read).unwrap_or_default().chunks_exact(MESSAGE_BYTES) {
            events.extend(parse(message).map(own));
        }
        Ok(read == bytes.len())
    }

    fn read_now(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        // At where the file is, as read(2) does.
        const HERE: u64 = u64::MAX;
        match rustix::io::preadv2(&self.0, &mut [IoSliceMut::new(bytes)], HERE, ReadWriteFlags::NOWAIT) {
            // Before Linux 6.10.
            Err(Errno::OPNOTSUPP) => {
                rustix::fs::fcntl_setfl(&self.0, OFlags::NONBLOCK)?;
                rustix::io::read(&self.0, bytes)
            }
            result => result,
        }
    }
}

fn own(event: RawEvent) -> Event {
    match event {
        RawEvent::Fault(fault) => Event::Fault(fault),
        RawEvent::Remap { from, to, bytes } => Event::Remap { from, to, bytes },
        RawEvent::Unmap { start, end } => Event::Unmap { start, end },
        // SAFETY: the kernel has just made this descriptor, for whoever reads the message.
        RawEvent::Fork { file } => Event::Fork(Userfault(unsafe { OwnedFd::from_raw_fd(file as RawFd) })),
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
