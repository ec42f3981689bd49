//! Which mount is meant by calls that name none: that of the first file that this process has mapped and still has; else `SCIFS_MOUNT`; else the
//! only one that there is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::error::Error;
use crate::registry::{Mapping, registry};

const VARIABLE: &str = "SCIFS_MOUNT";
const KIND: &str = "fuse.scifs";
const TABLE: &str = "/proc/self/mountinfo";

/// A file or folder of the mount.
#[derive(Debug)]
pub(crate) enum Place {
    Mapped(Arc<Mapping>),
    Folder(OwnedFd),
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Mapped(mapping) => mapping.file.as_fd(),
            Self::Folder(folder) => folder.as_fd(),
        }
    }
}

pub(crate) fn of_process() -> Result<Place, Error> {
    let mapped = registry().mappings.values().min_by_key(|mapping| mapping.number).cloned();
    if let Some(mapping) = mapped {
        return Ok(Place::Mapped(mapping));
    }
    let path = match std::env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => only(&points(&std::fs::read(TABLE).unwrap_or_default()))?.to_path_buf(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| Error::Open { path, errno })?;
    Ok(Place::Folder(folder))
}

fn only(points: &BTreeMap<String, PathBuf>) -> Result<&Path, Error> {
    match points.values().collect::<Vec<_>>().as_slice() {
        [] => Err(Error::NoMount),
        [point] => Ok(point),
        _ => Err(Error::WhichMount),
    }
}

/// Where what is mounted, by device: one that is bound to several places is one. `36 35 0:53 / /dsm rw shared:7 - fuse.scifs n1:7000 rw`
fn points(table: &[u8]) -> BTreeMap<String, PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    let ours = lines.filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let mut fields = head.split(' ').skip(2);
        let (device, _, point) = (fields.next()?, fields.next()?, fields.next()?);
        (tail.split(' ').next() == Some(KIND)).then(|| (device.to_owned(), unescape(point)))
    });
    ours.collect()
}

/// The kernel writes a blank as `\040`, and so on.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (bytes.push(byte), rest = after.get(3..).unwrap_or_default()).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_in_the_kernels_table() {
        let table = b"1 0 8:1 / / rw - ext4 /dev/sda rw\n129 29 0:53 / /a\\040b rw,nosuid shared:7 - fuse.scifs n1 rw\n\
                      130 29 0:53 / /bound rw - fuse.scifs n1 rw\n131 29 0:60 / /sshfs rw - fuse.sshfs n1 rw\n";
        let found = points(table);
        assert_eq!(only(&found), Ok(Path::new("/bound")));
        assert_eq!(only(&points(b"")), Err(Error::NoMount));
        let two = [&table[..], b"132 29 0:61 / /c rw - fuse.scifs n2 rw\n"].concat();
        assert_eq!(only(&points(&two)), Err(Error::WhichMount));
        assert_eq!(unescape("/a\\040b\\134c\\9"), Path::new("/a b\\c\\9"));
    }
}
