//! Making and ending the mount itself: by mount(2) as root, by fusermount3 for everybody else.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::{Errno, FdFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use thiserror::Error;

/// How the mount appears and who may use it.
#[derive(Clone, Debug)]
pub struct MountSetting {
    /// What `mount` shows as the source.
    pub source: String,
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
    pub noatime: bool,
    /// Others than the user who mounts may use it.
    pub allow_other: bool,
    /// The kernel checks modes and owners before it asks; nobody else does.
    pub default_permissions: bool,
}

#[derive(Debug, Error)]
pub enum MountError {
    #[error("cannot mount on {path}: {source}; make the folder first: mkdir -p {path}")]
    MountPoint { path: PathBuf, source: io::Error },
    #[error("{path} is not a folder; a file system is mounted on a folder")]
    NotAFolder { path: PathBuf },
    #[error(
        "cannot open /dev/fuse: {source}; load the driver with `modprobe fuse`, or give the container --device /dev/fuse"
    )]
    Device { source: io::Error },
    #[error("mounting on {path} was refused: {source}")]
    Refused { path: PathBuf, source: io::Error },
    #[error(
        "cannot run fusermount3, which mounts for users other than root: {source}; install the package fuse3"
    )]
    Helper { source: io::Error },
    #[error("fusermount3 did not mount {path}: {said}")]
    HelperRefused { path: PathBuf, said: String },
    #[error("{path} cannot be unmounted: {source}")]
    Unmount { path: PathBuf, source: io::Error },
    #[error(
        "this kernel speaks FUSE {major}.{minor}, but 7.{minor_min} (Linux 5.4) is the oldest that works; use a newer kernel"
    )]
    Kernel { major: u32, minor: u32, minor_min: u32 },
    #[error(
        "this kernel cannot map files that are read and written past its cache; Linux 6.6 is the oldest that can: use a newer kernel"
    )]
    SharedMaps,
    #[error("cannot {operation}: {source}")]
    System { operation: &'static str, source: io::Error },
}

const TYPE: &str = "fuse.scifs";

/// Mounts on `path` and returns the device that its requests come from.
pub(super) fn mount(path: &Path, setting: &MountSetting) -> Result<File, MountError> {
    let about =
        std::fs::metadata(path).map_err(|source| MountError::MountPoint { path: path.into(), source })?;
    if !about.is_dir() {
        return Err(MountError::NotAFolder { path: path.into() });
    }
    if rustix::process::geteuid().is_root() {
        mount_as_root(path, about.mode(), setting)
    } else {
        mount_by_helper(path, setting)
    }
}

fn mount_as_root(path: &Path, mode: u32, setting: &MountSetting) -> Result<File, MountError> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|source| MountError::Device { source })?;
    let mut data = format!(
        "fd={},rootmode={:o},user_id={},group_id={}",
        device.as_raw_fd(),
        mode & 0o170_000,
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if setting.allow_other {
        data.push_str(",allow_other");
    }
    if setting.default_permissions {
        data.push_str(",default_permissions");
    }
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, setting.read_only);
    flags.set(MountFlags::NOSUID, setting.nosuid);
    flags.set(MountFlags::NODEV, setting.nodev);
    flags.set(MountFlags::NOEXEC, setting.noexec);
    flags.set(MountFlags::NOATIME, setting.noatime);
    let data = std::ffi::CString::new(data)
        .map_err(|error| MountError::System { operation: "name the options", source: error.into() })?;
    rustix::mount::mount(setting.source.as_str(), path, TYPE, flags, Some(data.as_c_str()))
        .map_err(|errno| MountError::Refused { path: path.into(), source: errno.into() })?;
    Ok(device)
}

/// fusermount3 mounts and hands the device over through a socket whose number it finds in its environment.
fn mount_by_helper(path: &Path, setting: &MountSetting) -> Result<File, MountError> {
    let system = |operation| move |errno: Errno| MountError::System { operation, source: errno.into() };
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(system("make a socket pair"))?;
    rustix::io::fcntl_setfd(&theirs, FdFlags::empty()).map_err(system("pass on a socket"))?;
    let output = Command::new(crate::tools::find("fusermount3"))
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .arg("-o")
        .arg(helper_options(setting))
        .arg("--")
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| MountError::Helper { source })?;
    drop(theirs);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(MountError::HelperRefused { path: path.into(), said });
    }
    receive_device(&ours).map_err(|errno| MountError::Helper { source: errno.into() })
}

fn helper_options(setting: &MountSetting) -> String {
    // fusermount3 adds nosuid and nodev by itself.
    let mut options = format!("subtype=scifs,fsname={}", setting.source.replace(',', "\\,"));
    for (set, name) in [
        (setting.read_only, ",ro"),
        (setting.noexec, ",noexec"),
        (setting.noatime, ",noatime"),
        (setting.allow_other, ",allow_other"),
        (setting.default_permissions, ",default_permissions"),
    ] {
        if set {
            options.push_str(name);
        }
    }
    options
}

fn receive_device(socket: &OwnedFd) -> Result<File, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket.as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next().map(File::from),
            _ => None,
        })
        .ok_or(Errno::NOTCONN)
}

/// Takes the mount away at once, also while it is in use.
pub(super) fn unmount(path: &Path) -> Result<(), MountError> {
    let refused = |source| MountError::Unmount { path: path.into(), source };
    if rustix::process::geteuid().is_root() {
        return rustix::mount::unmount(path, UnmountFlags::DETACH).map_err(|errno| refused(errno.into()));
    }
    let status = Command::new(crate::tools::find("fusermount3"))
        .args(["-u", "-z", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| MountError::Helper { source })?;
    if status.success() { Ok(()) } else { Err(refused(io::Error::other(format!("fusermount3: {status}")))) }
}
