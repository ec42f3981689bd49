//! A memory file: what regions are mappings of, and what other processes map too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use super::MemoryError;

/// A sparse file that lives in memory only. It ends with the last mapping and descriptor of it.
#[derive(Debug)]
pub(super) struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// `name` is what /proc shows. Its size stays as it is: other processes get the file too, and whoever touches a mapping behind
    /// its end is killed.
    pub(super) fn new(name: &str, bytes: u64) -> Result<Self, MemoryError> {
        let create = |source| MemoryError::Create { bytes, source };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(name, flags).map_err(create)?;
        rustix::fs::ftruncate(&file, bytes).map_err(create)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals).map_err(create)?;
        Ok(Self(file))
    }

    pub(super) fn of(file: OwnedFd) -> Self {
        Self(file)
    }

    /// Writes without touching a mapping of this process.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        let failed = |source| MemoryError::Write { offset, source };
        match rustix::io::pwrite(&self.0, bytes, offset).map_err(failed)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(failed(rustix::io::Errno::NOSPC)),
        }
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
