//! `/dev/fuse` of one mount. Every read gives one request, every write takes one reply or notification.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;

use scios::memory::{RegionSlice, write_gather};

/// Shared by the workers, which read, and by whoever answers.
#[derive(Debug)]
pub(super) struct Device {
    file: File,
}

impl Device {
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }

    /// The next request, or `None` when the mount is gone. Requests that were taken back meanwhile are passed over.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        loop {
            match (&self.file).read(buffer) {
                Ok(bytes) => return Ok(Some(&buffer[..bytes])),
                Err(error) => match rustix::io::Errno::from_io_error(&error) {
                    Some(rustix::io::Errno::NODEV) => return Ok(None),
                    Some(rustix::io::Errno::NOENT | rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// One reply (`unique` is a request's) or notification (`unique` is 0, `code` tells which).
    pub(super) fn write(&self, unique: u64, code: i32, parts: &[&[u8]]) -> io::Result<()> {
        let header = header(unique, code, parts.iter().map(|part| part.len()).sum())?;
        let mut slices = [IoSlice::new(&[]); PARTS_MAX + 1];
        slices[0] = IoSlice::new(&header);
        for (slot, part) in slices[1..].iter_mut().zip(parts) {
            *slot = IoSlice::new(part);
        }
        // The device takes a message whole or not at all.
        (&self.file).write_vectored(&slices[..=parts.len().min(PARTS_MAX)]).map(drop)
    }

    /// A notification whose last part lies in shared memory.
    pub(super) fn write_slice(&self, code: i32, part: &[u8], slice: &RegionSlice) -> io::Result<()> {
        let header = header(0, code, part.len() + slice.bytes())?;
        write_gather(self.file.as_fd(), [&header, part], slice).map(drop)
    }
}

fn header(unique: u64, code: i32, bytes: usize) -> io::Result<[u8; HEADER_BYTES]> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let length = u32::try_from(HEADER_BYTES + bytes).map_err(invalid)?;
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&length.to_ne_bytes());
    header[4..8].copy_from_slice(&code.to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    Ok(header)
}

const HEADER_BYTES: usize = 16;
/// No reply or notification has more parts.
pub(super) const PARTS_MAX: usize = 3;
