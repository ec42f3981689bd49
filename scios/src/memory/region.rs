//! Regions: mappings that other threads, processes and, through a network card, other nodes change at any time.
//! So no `&[u8]` of a region exists; bytes go in and out by copies and by atomics.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};
use thiserror::Error;

use super::file::MemoryFile;

#[derive(Debug, Error)]
pub enum MemoryError {
    #[error(
        "cannot create a memory file of {bytes} bytes: {source}; if there are too many open files, raise the limit (ulimit -n)"
    )]
    Create { bytes: u64, source: rustix::io::Errno },
    #[error(
        "cannot map {bytes} bytes: {source}; lower the size or raise the address space limit (ulimit -v, sysctl vm.max_map_count)"
    )]
    Map { bytes: u64, source: rustix::io::Errno },
    #[error("cannot give back {bytes} bytes at {offset}: {source}")]
    Punch { offset: u64, bytes: u64, source: rustix::io::Errno },
    #[error("cannot write to a memory file at {offset}: {source}; the machine is out of memory")]
    Write { offset: u64, source: rustix::io::Errno },
    #[error("range {offset}+{bytes} is outside a region of {region_bytes} bytes")]
    Range { offset: u64, bytes: u64, region_bytes: u64 },
    #[error("an atomic needs 8 bytes at an address that 8 divides; {offset}+{bytes} are not")]
    Atomic { offset: u64, bytes: u64 },
    #[error(
        "{needed} more bytes are needed, but of memory={budget} only {free} are free and no more can be evicted; \
         start the node with a larger memory=SIZE, add a node, or delete files"
    )]
    Full { needed: u64, free: u64, budget: u64 },
    #[error("no {frames} adjacent frames are free; take them one by one")]
    Fragmented { frames: usize },
    #[error("{frames} adjacent frames were asked for; 1 to {max} can be had at once")]
    Run { frames: usize, max: usize },
    #[error("page {page} is outside a segment of {pages} pages")]
    Page { page: u64, pages: u64 },
    #[error("all staging buffers of {bytes} bytes and more are in use; go on when a transfer has ended")]
    StagingBusy { bytes: usize },
    #[error("no staging buffer has {bytes} bytes; the longest have {max}")]
    StagingLength { bytes: usize, max: usize },
    #[error("{asked} bytes are more than the {limit} bytes ({:.1} GiB) that {source_name}; ask for less, as in 50%", *limit as f64 / (1u64 << 30) as f64)]
    LargerThanMachine { asked: u64, limit: u64, source_name: &'static str },
    #[error("{asked} bytes are too little; a node needs at least {min} bytes")]
    TooSmall { asked: u64, min: u64 },
    #[error("cannot read how much memory the machine has from {path}: {what}")]
    Machine { path: &'static str, what: String },
}

/// Unique within the process; what registration caches are keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(u64);

static NEXT_REGION: AtomicU64 = AtomicU64::new(1);

/// A shared mapping of a memory file or a part of one, sparse until touched. It stays mapped as long as a slice of it lives.
pub struct Region {
    id: RegionId,
    base: NonNull<u8>,
    bytes: usize,
    file: Arc<MemoryFile>,
    /// Where in the file it begins.
    file_offset: u64,
}

// SAFETY: the mapping is only reached through raw pointers, by copies and atomics; no reference to its bytes is ever
// made, so sharing the handle between threads shares no Rust-visible memory.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// A new sparse memory file of `bytes` (at least 1), mapped here. `name` is what /proc shows.
    pub fn new(name: &str, bytes: u64) -> Result<Arc<Self>, MemoryError> {
        Self::window(&Arc::new(MemoryFile::new(name, bytes)?), 0, bytes)
    }

    /// Maps the first `bytes` of a memory file.
    pub fn map(file: OwnedFd, bytes: u64) -> Result<Arc<Self>, MemoryError> {
        Self::window(&Arc::new(MemoryFile::of(file)), 0, bytes)
    }

    /// Maps a part of a memory file; `file_offset` is that of a page.
    pub(super) fn window(
        file: &Arc<MemoryFile>,
        file_offset: u64,
        bytes: u64,
    ) -> Result<Arc<Self>, MemoryError> {
        let size = usize::try_from(bytes)
            .map_err(|_| MemoryError::Map { bytes, source: rustix::io::Errno::NOMEM })?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, prot, flags, file, file_offset) }
            .map_err(|source| MemoryError::Map { bytes, source })?;
        let base = NonNull::new(base.cast::<u8>())
            .ok_or(MemoryError::Map { bytes, source: rustix::io::Errno::NOMEM })?;
        let id = RegionId(NEXT_REGION.fetch_add(1, Ordering::Relaxed));
        Ok(Arc::new(Self { id, base, bytes: size, file: Arc::clone(file), file_offset }))
    }

    pub fn id(&self) -> RegionId {
        self.id
    }

    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The memory file, to hand to a process that maps it too.
    pub fn file(&self) -> BorrowedFd<'_> {
        (*self.file).as_fd()
    }

    /// The address of the first byte. Making the pointer is safe; following it is the caller's proof to make.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub fn slice(self: &Arc<Self>, offset: u64, bytes: usize) -> Result<RegionSlice, MemoryError> {
        self.check(offset, bytes as u64)?;
        Ok(RegionSlice { region: Arc::clone(self), offset, bytes })
    }

    pub fn whole(self: &Arc<Self>) -> RegionSlice {
        RegionSlice { region: Arc::clone(self), offset: 0, bytes: self.bytes }
    }

    /// Gives the range's memory back to the kernel; it reads as zero afterwards. A range that a card has registered
    /// must be deregistered first, or the card keeps the old pages.
    pub fn punch(&self, offset: u64, bytes: u64) -> Result<(), MemoryError> {
        self.check(offset, bytes)?;
        self.file.punch(self.file_offset + offset, bytes)
    }

    fn check(&self, offset: u64, bytes: u64) -> Result<(), MemoryError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes() => Ok(()),
            _ => Err(MemoryError::Range { offset, bytes, region_bytes: self.bytes() }),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, was made with this length, and no slice of it is left.
        if let Err(error) = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) } {
            tracing::error!(%error, bytes = self.bytes, "munmap of a region failed");
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("id", &self.id).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A range of a region, checked once when it is made.
#[derive(Clone, Debug)]
pub struct RegionSlice {
    region: Arc<Region>,
    offset: u64,
    bytes: usize,
}

impl RegionSlice {
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of the first byte; see [`Region::base`].
    pub fn base(&self) -> *mut u8 {
        self.region.base().wrapping_add(self.offset as usize)
    }

    /// A part of this slice.
    pub fn part(&self, offset: usize, bytes: usize) -> Result<Self, MemoryError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => {
                Ok(Self { region: Arc::clone(&self.region), offset: self.offset + offset as u64, bytes })
            }
            _ => Err(MemoryError::Range {
                offset: offset as u64,
                bytes: bytes as u64,
                region_bytes: self.bytes as u64,
            }),
        }
    }

    /// Copies the slice's first `into.len()` bytes out (all of `into` must fit).
    pub fn read_to(&self, into: &mut [u8]) -> Result<(), MemoryError> {
        self.fits(into.len())?;
        // SAFETY: the source range is mapped (checked when the slice was made, kept alive by the Arc) and `into` is
        // ours alone. A concurrent writer can tear the bytes, as with any shared memory; bytes have no invalid values.
        unsafe { std::ptr::copy_nonoverlapping(self.base(), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Copies `from` to the start of the slice.
    pub fn write_from(&self, from: &[u8]) -> Result<(), MemoryError> {
        self.fits(from.len())?;
        // SAFETY: as in `read_to`, with the destination mapped writable.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.base(), from.len()) };
        Ok(())
    }

    /// Copies all of `from` to the start of this slice; the two may overlap.
    pub fn copy_from(&self, from: &Self) -> Result<(), MemoryError> {
        self.fits(from.bytes)?;
        // SAFETY: both ranges are mapped and kept alive; `copy` allows overlap.
        unsafe { std::ptr::copy(from.base(), self.base(), from.bytes) };
        Ok(())
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.bytes];
        // The lengths are equal, so this cannot fail.
        let _ = self.read_to(&mut bytes);
        bytes
    }

    /// The slice as one atomic word: exactly 8 bytes, aligned.
    pub fn atomic(&self) -> Result<&AtomicU64, MemoryError> {
        if self.bytes != 8 || !self.offset.is_multiple_of(8) {
            return Err(MemoryError::Atomic { offset: self.offset, bytes: self.bytes as u64 });
        }
        // SAFETY: mapped, aligned (the base is page-aligned), alive as long as the borrow of self; others change it
        // by atomics or by byte copies of shared memory.
        Ok(unsafe { AtomicU64::from_ptr(self.base().cast()) })
    }

    fn fits(&self, bytes: usize) -> Result<(), MemoryError> {
        if bytes <= self.bytes {
            return Ok(());
        }
        Err(MemoryError::Range { offset: 0, bytes: bytes as u64, region_bytes: self.bytes as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_outside_its_region_is_refused() {
        let region = Region::new("test", 8192).unwrap();
        assert!(region.slice(8192, 0).is_ok());
        assert!(matches!(region.slice(8192, 1), Err(MemoryError::Range { .. })));
        assert!(matches!(region.slice(u64::MAX, 2), Err(MemoryError::Range { .. })));
        let slice = region.slice(4096, 4096).unwrap();
        assert!(slice.part(4096, 1).is_err());
        assert!(slice.write_from(&[0; 4097]).is_err());
    }

    #[test]
    fn bytes_written_are_read_back_and_gone_after_a_punch() {
        let region = Region::new("test", 8192).unwrap();
        let slice = region.slice(4096, 4096).unwrap();
        slice.write_from(b"kept").unwrap();
        let mut back = [0; 4];
        slice.read_to(&mut back).unwrap();
        assert_eq!(&back, b"kept");
        region.punch(4096, 4096).unwrap();
        slice.read_to(&mut back).unwrap();
        assert_eq!(back, [0; 4]);
    }

    #[test]
    fn an_unaligned_or_short_atomic_is_refused() {
        let region = Region::new("test", 4096).unwrap();
        assert!(region.slice(4, 8).unwrap().atomic().is_err());
        assert!(region.slice(8, 4).unwrap().atomic().is_err());
        region.slice(8, 8).unwrap().atomic().unwrap().store(7, Ordering::SeqCst);
        assert_eq!(region.slice(8, 8).unwrap().to_vec(), 7u64.to_le_bytes());
    }
}
