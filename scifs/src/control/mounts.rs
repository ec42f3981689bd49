//! Which mounts there are on this machine, and which node serves one.
//!
//! A node that mounts leaves a record beside its control socket: a symbolic link from the mount's device number, which
//! the kernel gives and `/proc/self/mountinfo` shows, to the socket. So a mount is found however it is called (bind
//! mounts, other mount namespaces), and without touching it: one whose node hangs would hang who touches it.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::folder;

/// The type that SciFS mounts have.
pub const MOUNT_TYPE: &str = "fuse.scifs";

const TABLE: &str = "/proc/self/mountinfo";

/// One line of the kernel's table of mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// `MAJOR:MINOR` of what is mounted; for FUSE its major is 0 and its minor is the connection.
    pub device: String,
    pub point: PathBuf,
    pub kind: String,
    pub source: String,
}

/// Every mount that this process sees, in the order they were made.
pub fn all() -> io::Result<Vec<Mounted>> {
    let table = std::fs::read(TABLE)?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// What is mounted at exactly that path; the topmost if there are several.
pub fn at(path: &Path) -> io::Result<Option<Mounted>> {
    let path = without_touching(path)?;
    Ok(all()?.into_iter().rfind(|mounted| mounted.point == path))
}

/// The SciFS mount that the path is, or is inside of.
pub fn around(path: &Path) -> io::Result<Option<Mounted>> {
    let path = without_touching(path)?;
    let deepest = all()?
        .into_iter()
        .filter(|mounted| path.starts_with(&mounted.point))
        // Of several with one length the last one is on top, and max_by_key gives the last.
        .max_by_key(|mounted| mounted.point.as_os_str().len());
    Ok(deepest.filter(|mounted| mounted.kind == MOUNT_TYPE))
}

/// The absolute path, with links resolved outside of SciFS mounts only.
fn without_touching(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let table = all()?;
    let ours = |path: &Path| table.iter().any(|m| m.kind == MOUNT_TYPE && m.point == path);
    let mut resolved = PathBuf::from("/");
    for (at, part) in path.components().enumerate() {
        resolved = match part {
            std::path::Component::ParentDir => {
                resolved.parent().map_or_else(|| "/".into(), Path::to_path_buf)
            }
            part => resolved.join(part),
        };
        if ours(&resolved) {
            return Ok(resolved.join(path.components().skip(at + 1).collect::<PathBuf>()));
        }
        if resolved.is_symlink() {
            resolved = resolved.canonicalize()?;
            if ours(&resolved) {
                return Ok(resolved.join(path.components().skip(at + 1).collect::<PathBuf>()));
            }
        }
    }
    Ok(resolved)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn parse(line: &[u8]) -> Option<Mounted> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let (head, tail) = fields.split_at(fields.iter().position(|field| *field == b"-")?);
    let text = |field: &&[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    Some(Mounted {
        device: head.get(2).map(text)?,
        point: PathBuf::from(OsString::from_vec(unescape(head.get(4)?))),
        kind: tail.get(1).map(text)?,
        source: tail.get(2).map(text)?,
    })
}

/// The kernel writes a blank as `\040`, and so on.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// A node's note that it serves a mount; gone when this is dropped.
#[derive(Debug)]
pub struct Record(PathBuf);

impl Record {
    /// Notes that the node with this socket serves what is mounted at `point`.
    pub fn write(point: &Path, socket: &Path) -> io::Result<Self> {
        let mounted = at(point)?.filter(|mounted| mounted.kind == MOUNT_TYPE);
        let mounted = mounted.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let beside = socket.parent().unwrap_or(Path::new("/"));
        let path = beside.join(name(&mounted.device));
        // Device numbers are given again, so a killed node's record may be in the way.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(socket, &path)?;
        Ok(Self(path))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove the record of the mount");
        }
    }
}

fn name(device: &str) -> String {
    format!("mount-{device}")
}

/// The control socket of the node that serves a mount. Nodes of `scifs dev` have folders of their own below the usual one.
pub fn socket_of(mounted: &Mounted) -> Option<PathBuf> {
    let folder = folder();
    let below = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    latest(std::iter::once(folder.clone()).chain(below), mounted)
}

/// Device numbers are given again, so nodes that were killed may have left records of this one: the youngest is true.
fn latest(places: impl Iterator<Item = PathBuf>, mounted: &Mounted) -> Option<PathBuf> {
    let records = places.filter_map(|place| {
        let record = place.join(name(&mounted.device));
        let written = std::fs::symlink_metadata(&record).and_then(|about| about.modified()).ok()?;
        Some((written, std::fs::read_link(record).ok()?))
    });
    records.max().map(|(_, socket)| socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read_with_its_blanks() {
        let line = b"129 29 0:53 / /a\\040b\\134c rw,nosuid shared:7 - fuse.scifs n1:7000 rw,user_id=0";
        let mounted = parse(line).unwrap();
        assert_eq!(mounted.point, Path::new("/a b\\c"));
        assert_eq!((mounted.device.as_str(), mounted.kind.as_str()), ("0:53", MOUNT_TYPE));
        assert_eq!(mounted.source, "n1:7000");
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 - x"), None);
        assert_eq!(unescape(b"\\04"), b"\\04");
        assert_eq!(unescape(b"\\999"), b"\\999");
    }

    /// `scifs status MOUNTPOINT` once asked a node that was long dead: its record of a device number that was given again was found first.
    #[test]
    fn the_record_of_a_killed_node_is_not_taken_for_that_of_its_successor() {
        let folder = std::env::temp_dir().join(format!("scifs-records-{}", std::process::id()));
        let places: Vec<PathBuf> = ["dead", "alive", "older"].map(|node| folder.join(node)).into();
        for (place, seconds) in places.iter().zip([20, 30, 10]) {
            std::fs::create_dir_all(place).unwrap();
            let record = place.join("mount-0:53");
            std::os::unix::fs::symlink(place.join("n.sock"), &record).unwrap();
            let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(rustix::fs::CWD, &record, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .unwrap();
        }
        let mounted = Mounted {
            device: "0:53".into(),
            point: "/dsm".into(),
            kind: MOUNT_TYPE.into(),
            source: "scifs".into(),
        };
        let found = latest(places.into_iter(), &mounted);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, Some(folder.join("alive/n.sock")));
    }

    #[test]
    fn the_kernels_table_is_understood_and_what_is_no_scifs_mount_is_none() {
        assert!(all().unwrap().iter().any(|mounted| mounted.point == Path::new("/")));
        assert_eq!(at(Path::new("/proc")).unwrap().unwrap().kind, "proc");
        assert_eq!(around(Path::new("/proc/self")).unwrap(), None);
        assert!(without_touching(Path::new("/proc/../proc/self/fd")).unwrap().ends_with("fd"));
    }
}
