//! userfaultfd(2) on a mapping of this process: the calls that the floor needs, and no more.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

use rustix::io::{Errno, read};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{UserfaultfdFlags, userfaultfd};

use crate::mapped::Mapped;
use crate::sweep::PAGE_BYTES;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Span {
    start: u64,
    bytes: u64,
}

#[repr(C)]
struct Register {
    span: Span,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    copied: i64,
}

#[repr(C)]
struct Continue {
    span: Span,
    mode: u64,
    mapped: i64,
}

#[repr(C)]
struct Protect {
    span: Span,
    mode: u64,
}

const GROUP: u8 = 0xAA;
const API: Opcode = opcode::read_write::<Api>(GROUP, 0x3F);
const REGISTER: Opcode = opcode::read_write::<Register>(GROUP, 0x00);
const COPY: Opcode = opcode::read_write::<Copy>(GROUP, 0x03);
const PROTECT: Opcode = opcode::read_write::<Protect>(GROUP, 0x06);
const CONTINUE: Opcode = opcode::read_write::<Continue>(GROUP, 0x07);

const API_VERSION: u64 = 0xAA;
/// Protection, missing pages and pages that are only not mapped: all three of shared memory.
const FEATURES: u64 = 1 | 1 << 5 | 1 << 10 | 1 << 12;
const REGISTER_ALL: u64 = 1 | 2 | 4;
const COPY_PROTECTED: u64 = 2;
const PROTECTED: u64 = 1;

const MESSAGE_BYTES: usize = 32;
const PAGEFAULT: u8 = 0x12;
const FLAG_WRITE: u64 = 1;

/// Serves the faults of a mapping, which it doesn't outlive.
pub(super) struct Userfault {
    file: OwnedFd,
    start: u64,
    pages: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) page: usize,
    pub(super) write: bool,
}

impl Userfault {
    /// From now on no access of this mapping's missing pages goes on before it was served.
    pub(super) fn new(mapped: &Mapped, pages: usize, wait: bool) -> Result<Self, Errno> {
        let flags = if wait { UserfaultfdFlags::empty() } else { UserfaultfdFlags::NONBLOCK };
        // SAFETY: faults are sent to it only for what is registered below, which is served.
        let file = unsafe { userfaultfd(flags | UserfaultfdFlags::CLOEXEC) }?;
        let start = mapped.address() as u64;
        let this = Self { file, start, pages };
        let mut api = Api { api: API_VERSION, features: FEATURES, ioctls: 0 };
        // SAFETY: the kernel's struct uffdio_api, which it reads and writes.
        unsafe { ioctl(&this.file, Updater::<API, _>::new(&mut api)) }?;
        let span = Span { start, bytes: (pages * PAGE_BYTES) as u64 };
        let mut register = Register { span, mode: REGISTER_ALL, ioctls: 0 };
        // SAFETY: the kernel's struct uffdio_register, which it reads and writes; the addresses are those of a mapping of ours, whose bytes
        // nobody takes for unchanging.
        unsafe { ioctl(&this.file, Updater::<REGISTER, _>::new(&mut register)) }?;
        Ok(this)
    }

    /// The next fault. EAGAIN: none, if it is not to wait.
    pub(super) fn next(&self) -> Result<Fault, Errno> {
        let mut message = [0; MESSAGE_BYTES];
        loop {
            let got = read(&self.file, &mut message)?;
            let word = |at: usize| message.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
            if let (MESSAGE_BYTES, PAGEFAULT, Some(flags), Some(address)) =
                (got, message[0], word(8), word(16))
            {
                let page = (address - self.start) as usize / PAGE_BYTES;
                return Ok(Fault { page, write: flags & FLAG_WRITE != 0 });
            }
        }
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Fills a missing page and has whoever waits for it go on.
    pub(super) fn fill(&self, page: usize, bytes: &[u8; PAGE_BYTES], writable: bool) -> Result<(), Errno> {
        let mode = if writable { 0 } else { COPY_PROTECTED };
        let to = self.span(page).start;
        let mut copy =
            Copy { to, from: bytes.as_ptr().addr() as u64, bytes: PAGE_BYTES as u64, mode, copied: 0 };
        // SAFETY: the kernel's struct uffdio_copy, which it reads and writes. It reads as many bytes as there are, and fills a page of the
        // mapping, whose bytes are only accessed as atomics.
        done(unsafe { ioctl(&self.file, Updater::<COPY, _>::new(&mut copy)) })
    }

    /// Maps a page that is there.
    pub(super) fn map(&self, page: usize) -> Result<(), Errno> {
        let mut mapped = Continue { span: self.span(page), mode: 0, mapped: 0 };
        // SAFETY: the kernel's struct uffdio_continue, which it reads and writes.
        done(unsafe { ioctl(&self.file, Updater::<CONTINUE, _>::new(&mut mapped)) })
    }

    /// Lets a page be stored to, or has stores to it told.
    pub(super) fn protect(&self, page: usize, writable: bool) -> Result<(), Errno> {
        let mode = if writable { 0 } else { PROTECTED };
        let mut protect = Protect { span: self.span(page), mode };
        // SAFETY: the kernel's struct uffdio_writeprotect, which it reads.
        unsafe { ioctl(&self.file, Updater::<PROTECT, _>::new(&mut protect)) }
    }

    fn span(&self, page: usize) -> Span {
        assert!(page < self.pages, "page {page} of {}", self.pages);
        Span { start: self.start + (page * PAGE_BYTES) as u64, bytes: PAGE_BYTES as u64 }
    }
}

/// Another thread that wanted the page has got it already.
fn done(result: Result<(), Errno>) -> Result<(), Errno> {
    if result == Err(Errno::EXIST) { Ok(()) } else { result }
}
