//! Answers to requests, with the layouts of `linux/fuse.h`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use scios::rpc::codec::Writer;

use super::device::Device;
use super::request::FileLock;
use super::timing::Timing;

/// What kind of file a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    File,
    Directory,
    SymLink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl FileKind {
    /// The `S_IFMT` bits of a mode.
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::File => 0o100_000,
            Self::SymLink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// The kind in a mode; without any kind it is a file, as mknod(2) has it.
    pub fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o040_000 => Self::Directory,
            0o060_000 => Self::BlockDevice,
            0 | 0o100_000 => Self::File,
            0o120_000 => Self::SymLink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }
}

/// What stat(2) shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub inode: u64,
    pub kind: FileKind,
    pub size: u64,
    pub blocks_512: u64,
    /// Seconds and nanoseconds.
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    pub permissions: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub device: u32,
    pub block_bytes: u32,
}

/// A name that was found or made. The times say how long the kernel may answer from its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub attr: Attr,
    pub generation: u64,
    pub name_valid: Duration,
    pub attr_valid: Duration,
}

/// How the kernel treats an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// Reads and writes come here; the page cache serves only mappings.
    pub direct_io: bool,
    /// What the page cache holds of the file stays valid.
    pub keep_cache: bool,
    /// Writes with direct_io need not wait for each other.
    pub parallel_direct_writes: bool,
}

impl OpenFlags {
    fn bits(self) -> u32 {
        u32::from(self.direct_io)
            | u32::from(self.keep_cache) << 1
            | u32::from(self.parallel_direct_writes) << 6
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    pub blocks: u64,
    pub blocks_free: u64,
    pub files: u64,
    pub files_free: u64,
    pub block_bytes: u32,
    pub name_bytes_max: u32,
}

/// The right and the duty to answer one request, once. Dropped without an answer it answers EIO, so no process waits for ever.
#[derive(Debug)]
pub struct Reply {
    unique: u64,
    /// `None` once answered.
    device: Option<Arc<Device>>,
    timing: Option<Timing>,
}

impl Reply {
    pub(super) fn new(unique: u64, device: Arc<Device>) -> Self {
        Self { unique, device: Some(device), timing: None }
    }

    /// Measured until its answer goes out.
    pub(super) fn timed(mut self, timing: Option<Timing>) -> Self {
        self.timing = timing;
        self
    }

    /// For a request that gets no answer: every call on it does nothing.
    pub(super) fn unneeded() -> Self {
        Self { unique: 0, device: None, timing: None }
    }

    /// What an [`super::Operation::Interrupt`] names this request by.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    pub fn error(mut self, errno: Errno) {
        self.send(-errno.raw_os_error(), &[]);
    }

    pub fn empty(mut self) {
        self.send(0, &[]);
    }

    /// For an INTERRUPT that was heeded: the request that it names is answered instead.
    pub fn none(mut self) {
        self.device = None;
    }

    pub fn data(mut self, bytes: &[u8]) {
        self.send(0, &[bytes]);
    }

    pub fn entry(mut self, entry: &Entry) {
        self.fields(|to| put_entry(to, entry));
    }

    pub fn created(mut self, entry: &Entry, handle: u64, flags: OpenFlags) {
        self.fields(|to| {
            put_entry(to, entry);
            put_open(to, handle, flags);
        });
    }

    pub fn opened(mut self, handle: u64, flags: OpenFlags) {
        self.fields(|to| put_open(to, handle, flags));
    }

    pub fn attr(mut self, attr: &Attr, valid: Duration) {
        self.fields(|to| {
            to.u64(valid.as_secs());
            to.u32(valid.subsec_nanos());
            to.u32(0);
            put_attr(to, attr);
        });
    }

    pub fn written(mut self, bytes: u32) {
        self.fields(|to| {
            to.u32(bytes);
            to.u32(0);
        });
    }

    pub fn statfs(mut self, about: &StatFs) {
        self.fields(|to| {
            for field in [about.blocks, about.blocks_free, about.blocks_free, about.files, about.files_free] {
                to.u64(field);
            }
            to.u32(about.block_bytes);
            to.u32(about.name_bytes_max);
            to.u32(about.block_bytes);
            to.raw(&[0; 28]);
        });
    }

    /// An extended attribute or the list of them, to a caller with room for `bytes_max`; 0 asks for the length only.
    pub fn xattr(mut self, value: &[u8], bytes_max: u32) {
        match (bytes_max, u32::try_from(value.len())) {
            (_, Err(_)) => self.send(-Errno::TOOBIG.raw_os_error(), &[]),
            (0, Ok(length)) => self.fields(|to| {
                to.u32(length);
                to.u32(0);
            }),
            (room, Ok(length)) if length > room => self.send(-Errno::RANGE.raw_os_error(), &[]),
            _ => self.send(0, &[value]),
        }
    }

    pub fn lock(mut self, lock: &FileLock) {
        self.fields(|to| {
            to.u64(lock.start);
            to.u64(lock.end);
            to.u32(lock.kind);
            to.u32(lock.pid);
        });
    }

    pub fn offset(mut self, offset: u64) {
        self.fields(|to| to.u64(offset));
    }

    /// The result of an ioctl, which is never negative, and what the caller gets; no more than it has room for.
    pub fn ioctl(mut self, result: u32, bytes: &[u8]) {
        let result = i32::try_from(result).unwrap_or(i32::MAX);
        self.fields(|to| {
            to.u32(result as u32);
            to.raw(&[0; 12]);
            to.raw(bytes);
        });
    }

    pub fn directory(mut self, entries: &DirBuffer) {
        self.send(0, &[&entries.bytes]);
    }

    pub(super) fn fields(&mut self, put: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::new();
        put(&mut writer);
        match writer.finish() {
            Ok(bytes) => self.send(0, &[bytes]),
            Err(_) => self.send(-Errno::IO.raw_os_error(), &[]),
        }
    }

    fn send(&mut self, code: i32, parts: &[&[u8]]) {
        let Some(device) = self.device.take() else { return };
        // Before the process goes on, so that whoever counts after a call finds the call counted.
        if let Some(timing) = &self.timing {
            timing.end();
        }
        if let Err(error) = device.write(self.unique, code, parts) {
            // ENOENT: the request was interrupted or aborted; ENODEV: the mount is gone. Nobody waits for the answer then.
            let expected = matches!(error.kind(), io::ErrorKind::NotFound)
                || Errno::from_io_error(&error) == Some(Errno::NODEV);
            if !expected {
                tracing::error!(%error, unique = self.unique, "the kernel did not take a reply");
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.device.is_some() {
            tracing::error!(unique = self.unique, "a request was dropped without an answer");
            self.send(-Errno::IO.raw_os_error(), &[]);
        }
    }
}

/// Directory entries, as many as the kernel has room for.
#[derive(Debug)]
pub struct DirBuffer {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl DirBuffer {
    pub fn new(bytes_max: u32) -> Self {
        Self { bytes: Vec::new(), bytes_max: bytes_max as usize }
    }

    /// False when there is no room. `next` is the offset at which a later request goes on.
    pub fn push(&mut self, inode: u64, next: u64, kind: FileKind, name: &OsStr) -> bool {
        let name = name.as_bytes();
        let bytes = (24 + name.len()).next_multiple_of(8);
        let Ok(length) = u32::try_from(name.len()) else { return false };
        if self.bytes.len() + bytes > self.bytes_max {
            return false;
        }
        let end = self.bytes.len() + bytes;
        self.bytes.extend_from_slice(&inode.to_ne_bytes());
        self.bytes.extend_from_slice(&next.to_ne_bytes());
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind.mode_bits() >> 12).to_ne_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.resize(end, 0);
        true
    }
}

fn put_entry(to: &mut Writer, entry: &Entry) {
    to.u64(entry.attr.inode);
    to.u64(entry.generation);
    to.u64(entry.name_valid.as_secs());
    to.u64(entry.attr_valid.as_secs());
    to.u32(entry.name_valid.subsec_nanos());
    to.u32(entry.attr_valid.subsec_nanos());
    put_attr(to, &entry.attr);
}

fn put_open(to: &mut Writer, handle: u64, flags: OpenFlags) {
    to.u64(handle);
    to.u32(flags.bits());
    to.u32(0);
}

fn put_attr(to: &mut Writer, attr: &Attr) {
    to.u64(attr.inode);
    to.u64(attr.size);
    to.u64(attr.blocks_512);
    for (seconds, _) in [attr.atime, attr.mtime, attr.ctime] {
        to.i64(seconds);
    }
    for (_, nanos) in [attr.atime, attr.mtime, attr.ctime] {
        to.u32(nanos);
    }
    to.u32(attr.kind.mode_bits() | attr.permissions & 0o7777);
    for field in [attr.links, attr.uid, attr.gid, attr.device, attr.block_bytes, 0] {
        to.u32(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_buffer_takes_entries_until_it_is_full_and_pads_them() {
        let mut buffer = DirBuffer::new(64);
        assert!(buffer.push(7, 1, FileKind::Directory, OsStr::new("ab")));
        assert_eq!(buffer.bytes.len(), 32);
        assert_eq!(&buffer.bytes[20..26], [4, 0, 0, 0, b'a', b'b']);
        assert!(buffer.push(8, 2, FileKind::File, OsStr::new("12345678")));
        assert!(!buffer.push(9, 3, FileKind::File, OsStr::new("x")));
        assert_eq!(buffer.bytes.len(), 64);
    }

    #[test]
    fn attributes_have_the_length_that_the_kernel_expects() {
        let attr = Attr {
            inode: 1,
            kind: FileKind::File,
            size: 2,
            blocks_512: 3,
            atime: (4, 5),
            mtime: (6, 7),
            ctime: (8, 9),
            permissions: 0o644,
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            block_bytes: 4096,
        };
        let mut writer = Writer::new();
        put_attr(&mut writer, &attr);
        assert_eq!(writer.len(), 88);
        let entry = Entry { attr, generation: 0, name_valid: Duration::ZERO, attr_valid: Duration::ZERO };
        writer.clear();
        put_entry(&mut writer, &entry);
        assert_eq!(writer.len(), 128);
    }

    #[test]
    fn a_mode_and_its_kind_name_each_other() {
        for kind in [
            FileKind::File,
            FileKind::Directory,
            FileKind::SymLink,
            FileKind::Fifo,
            FileKind::Socket,
            FileKind::CharDevice,
            FileKind::BlockDevice,
        ] {
            assert_eq!(FileKind::of_mode(kind.mode_bits() | 0o777), Some(kind));
        }
        assert_eq!(FileKind::of_mode(0o030_000), None);
    }
}
