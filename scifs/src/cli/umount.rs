//! `scifs umount`: like umount(8), and waits until the node has left its cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::CliError;
use super::process::Process;
use crate::control;
use crate::control::mounts::{self, MOUNT_TYPE};
use crate::exit::Exit;
use crate::tools;

/// Unmount, and wait until the node has left its cluster
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    mountpoint: PathBuf,
    /// Also while files are open: take the mount out of sight at once; who has files open gets errors
    #[arg(short, long)]
    lazy: bool,
}

/// Longer than an orderly leave of a cluster takes that has lost its majority, with the default timeout.
const LEAVE_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum UmountError {
    #[error("{path} is not a SciFS mount; see: scifs status")]
    NotMounted { path: PathBuf },
    #[error(
        "{path} is in use; see who uses it with: fuser -vm {path}; or unmount with: scifs umount --lazy {path}"
    )]
    InUse { path: PathBuf },
    #[error("cannot unmount {path}: {source}")]
    Refused { path: PathBuf, source: io::Error },
    #[error("fusermount3 did not unmount {path}: {said}")]
    Helper { path: PathBuf, said: String },
    #[error(
        "cannot run fusermount3, which unmounts for users other than root: {0}; install the package fuse3"
    )]
    NoHelper(io::Error),
    #[error("{path} is unmounted, but its node (process {pid}) has not ended within {} s; see its log", LEAVE_WAIT.as_secs())]
    StillRuns { path: PathBuf, pid: u32 },
}

impl UmountError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NotMounted { .. } => Exit::Usage,
            Self::NoHelper(_) => Exit::System,
            _ => Exit::Failed,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mounted = mounts::at(&args.mountpoint)
        .map_err(CliError::Table)?
        .filter(|mounted| mounted.kind == MOUNT_TYPE)
        .ok_or_else(|| UmountError::NotMounted { path: args.mountpoint.clone() })?;
    let node = mounts::socket_of(&mounted).and_then(|socket| control::pid_of(&socket)).and_then(Process::of);
    let flags = if args.lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    unmount(&mounted.point, flags)?;
    match node {
        Some(node) if !node.wait(LEAVE_WAIT) => {
            Err(UmountError::StillRuns { path: mounted.point, pid: node.pid() }.into())
        }
        _ => Ok(()),
    }
}

/// Takes the mount away at once, also while it is in use.
pub(super) fn detach(path: &Path) -> Result<(), UmountError> {
    unmount(path, UnmountFlags::DETACH)
}

fn unmount(path: &Path, flags: UnmountFlags) -> Result<(), UmountError> {
    if rustix::process::geteuid().is_root() {
        return match rustix::mount::unmount(path, flags) {
            Ok(()) => Ok(()),
            Err(Errno::BUSY) => Err(UmountError::InUse { path: path.into() }),
            Err(Errno::INVAL) => Err(UmountError::NotMounted { path: path.into() }),
            Err(errno) => Err(UmountError::Refused { path: path.into(), source: errno.into() }),
        };
    }
    let mut helper = Command::new(tools::find("fusermount3"));
    helper.arg("-u");
    if flags.contains(UnmountFlags::DETACH) {
        helper.arg("-z");
    }
    let output = helper.arg("--").arg(path).stdin(Stdio::null()).output().map_err(UmountError::NoHelper)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(()),
        false if said.contains("busy") => Err(UmountError::InUse { path: path.into() }),
        false => Err(UmountError::Helper { path: path.into(), said }),
    }
}
