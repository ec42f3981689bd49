//! Files of a mount in this process's memory.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::attach::{self, Forks, Served, page_bytes};
use crate::error::Error;
use crate::registry::{How, Mapping, registry};
use crate::sys::{self, Request};

const ADDRESS: &str = "user.scifs.address";
/// "0x" and sixteen digits fit.
const ADDRESS_BYTES: usize = 32;

/// A part of a file, and where it shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Nothing: wherever there is room.
    pub(crate) address: Option<usize>,
    pub(crate) offset: u64,
    /// Nothing: up to the end of the file.
    pub(crate) length: Option<usize>,
}

/// The whole file, at the address that it has in the whole cluster.
pub(crate) fn map(path: &Path, protection: i32) -> Result<Arc<Mapping>, Error> {
    let file = open(path, protection)?;
    let address = address_of(path, &file)?;
    let part = Part { address: Some(address), offset: 0, length: None };
    map_part(path, file, protection, part)
}

pub(crate) fn map_at(path: &Path, protection: i32, part: Part) -> Result<Arc<Mapping>, Error> {
    let file = open(path, protection)?;
    // The address only exists on mounts of ours.
    address_of(path, &file)?;
    map_part(path, file, protection, part)
}

fn open(path: &Path, protection: i32) -> Result<OwnedFd, Error> {
    let access = match protection {
        libc::PROT_READ => OFlags::RDONLY,
        both if both == libc::PROT_READ | libc::PROT_WRITE => OFlags::RDWR,
        _ => return Err(Error::Protection),
    };
    rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        Errno::ISDIR => Error::Folder { path: path.into() },
        errno => Error::Open { path: path.into(), errno },
    })
}

/// Whether an open file is one of a SciFS mount, whatever its node offers.
pub fn is_ours(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fgetxattr(file, ADDRESS, &mut [0; ADDRESS_BYTES]).is_ok()
}

fn address_of(path: &Path, file: &OwnedFd) -> Result<usize, Error> {
    let mut text = [0; ADDRESS_BYTES];
    let about = rustix::fs::fstat(file).map_err(|errno| Error::Open { path: path.into(), errno })?;
    if rustix::fs::FileType::from_raw_mode(about.st_mode) == rustix::fs::FileType::Directory {
        return Err(Error::Folder { path: path.into() });
    }
    let length = rustix::fs::fgetxattr(file, ADDRESS, &mut text).map_err(|errno| match errno {
        Errno::NODATA | Errno::OPNOTSUPP => Error::NotOurs { path: path.into() },
        errno => Error::Address { path: path.into(), errno },
    })?;
    let digits = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
    let digits = digits.and_then(|text| text.trim_end_matches(['\0', '\n']).strip_prefix("0x"));
    let address = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    address.ok_or(Error::Address { path: path.into(), errno: Errno::INVAL })
}

fn map_part(path: &Path, file: OwnedFd, protection: i32, part: Part) -> Result<Arc<Mapping>, Error> {
    let (path, page) = (PathBuf::from(path), page_bytes());
    let size = File::from(file.try_clone().map_err(|error| open_error(&path, &error))?)
        .metadata()
        .map_err(|error| open_error(&path, &error))?
        .len();
    if !part.offset.is_multiple_of(page as u64) {
        return Err(Error::Unaligned { what: "the offset" });
    }
    if part.address.is_some_and(|address| !address.is_multiple_of(page)) {
        return Err(Error::Unaligned { what: "the address" });
    }
    let length = match part.length {
        Some(length) => length,
        None if size == 0 => return Err(Error::Empty { path }),
        None if size <= part.offset => return Err(Error::BehindEnd { offset: part.offset, size }),
        None => usize::try_from(size - part.offset)
            .map_err(|_| Error::Map { path: path.clone(), errno: Errno::NOMEM })?,
    };
    let exactly = part.address.map_or(0, |_| libc::MAP_FIXED_NOREPLACE);
    let request = Request {
        address: part.address.unwrap_or(0),
        length,
        protection,
        flags: libc::MAP_SHARED | exactly,
        offset: part.offset,
    };
    let (address, how) = either_way(&path, &file, &request)?;
    let file = Arc::new(file);
    let mut registry = registry();
    registry.mapped_ever += 1;
    let number = registry.mapped_ever;
    let mapping = Mapping { path, address, length, offset: part.offset, protection, file, how, number };
    let mapping = Arc::new(mapping);
    registry.mappings.insert(address, Arc::clone(&mapping));
    Ok(mapping)
}

/// In a child that didn't get it from its parent. What can't be mapped isn't there, and touching it ends the child by a signal.
pub(crate) fn again(mapping: &Mapping) {
    let request = Request {
        address: mapping.address,
        length: mapping.length,
        protection: mapping.protection,
        flags: libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE,
        offset: mapping.offset,
    };
    if let Ok((_, how)) = either_way(&mapping.path, &mapping.file, &request) {
        let (path, file) = (mapping.path.clone(), Arc::clone(&mapping.file));
        let mapping = Mapping { path, file, how, ..*mapping };
        registry().mappings.insert(mapping.address, Arc::new(mapping));
    }
}

fn open_error(path: &Path, error: &std::io::Error) -> Error {
    Error::Open { path: path.into(), errno: Errno::from_io_error(error).unwrap_or(Errno::IO) }
}

/// By userfaultfd, else by the kernel.
#[allow(unsafe_code)]
fn either_way(path: &Path, file: &OwnedFd, request: &Request) -> Result<(usize, How), Error> {
    // SAFETY: MAP_FIXED_NOREPLACE, or no address at all, takes no memory away from anybody.
    let why = match unsafe { attach::map(file.as_fd(), request, Forks::NotNeeded) } {
        Ok(Served { address, is_inherited }) => return Ok((address, How::Userfault { is_inherited })),
        Err(why) => why,
    };
    // SAFETY: the same.
    match unsafe { sys::map(request, file.as_fd()) } {
        Ok(address) => Ok((address, How::Kernel(why))),
        Err(Errno::EXIST) => Err(Error::Taken { path: path.into(), address: request.address }),
        Err(errno) => Err(Error::Map { path: path.into(), errno }),
    }
}

/// Takes away a mapping that begins exactly there.
///
/// # Safety
/// Nobody uses its memory any more.
#[allow(unsafe_code)]
pub(crate) unsafe fn unmap(address: usize) -> Result<(), Error> {
    let mapping = {
        let mut registry = registry();
        let mapping = registry.mappings.remove(&address).ok_or(Error::NotBegin { address })?;
        registry.held.retain(|held| held.mapping != address);
        registry.spare.retain(|(of, _)| *of != address);
        mapping
    };
    // SAFETY: as the caller promises.
    unsafe { sys::unmap(mapping.address, mapping.length) }
        .map_err(|errno| Error::Map { path: mapping.path.clone(), errno })
}

/// The mapping that begins there.
pub(crate) fn at(address: usize) -> Result<Arc<Mapping>, Error> {
    registry().mappings.get(&address).cloned().ok_or(Error::NotBegin { address })
}
