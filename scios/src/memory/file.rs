//! A memory file: what regions are mappings of, and what other processes map too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;

use super::MemoryError;

/// A sparse file that lives in memory only. It ends with the last mapping and descriptor of it.
#[derive(Debug)]
pub(super) struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// `name` is what /proc shows.
    pub(super) fn new(name: &str, bytes: u64) -> Result<Self, MemoryError> {
        let create = |source| MemoryError::Create { bytes, source };
        let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(create)?;
        rustix::fs::ftruncate(&file, bytes).map_err(create)?;
        Ok(Self(file))
    }

    pub(super) fn of(file: OwnedFd) -> Self {
        Self(file)
    }

    /// What is written is seen in all mappings.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.0, rest, offset + written as u64) {
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(source) => return Err(MemoryError::Write { offset, bytes: bytes.len() as u64, source }),
            }
        }
        Ok(())
    }

    /// Gives a range's memory back to the kernel; every mapping reads zeros there afterwards.
    pub(super) fn punch(&self, offset: u64, bytes: u64) -> Result<(), MemoryError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.0, flags, offset, bytes).map_err(|source| MemoryError::Punch {
            offset,
            bytes,
            source,
        })
    }
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
