//! `auto_unmount`: a second process that takes the mount away when the node dies without doing so. It knows of the death
//! by the pipe between them, which the kernel closes.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{point, this_program};
use crate::cli::{CliError, umount};
use crate::control::mounts::{self, MOUNT_TYPE};

/// Take a mount away once standard input ends and the mount is dead
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    mountpoint: PathBuf,
}

/// Started before the node, so that it shares none of its devices.
pub(super) struct Guard(Child);

impl Guard {
    pub(super) fn start(mountpoint: &Path) -> Result<Self, CliError> {
        let program = this_program();
        Command::new(&program)
            .arg("guard")
            .arg(mountpoint)
            .current_dir("/")
            // What is sent to the node's group, such as Ctrl-C, is not meant for it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|source| CliError::Background { program, source })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            tracing::warn!(%error, "the guard of the mount is lost");
        }
    }
}

pub(crate) fn run(args: &GuardArgs) -> Result<(), CliError> {
    // Nothing is ever written; it ends when the node does.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let mounted = mounts::at(&args.mountpoint).map_err(CliError::Table)?;
    let ours = mounted.is_some_and(|mounted| mounted.kind == MOUNT_TYPE);
    let dead = std::fs::metadata(&args.mountpoint).is_err_and(|error| point::is_dead(&error));
    if ours && dead {
        umount::detach(&args.mountpoint)?;
    }
    Ok(())
}
