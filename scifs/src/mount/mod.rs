//! A node with everything that SciFS puts on top of it: as a [`Donor`] without a mount, as a [`Mount`] with one.

mod donor;
mod life;
mod post;
mod upper;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use scios::node::{Node, NodeConfig, NodeError};
use serde::Serialize;
use thiserror::Error;

use crate::fuse::files::FilesStatus;
use crate::fuse::kernel::{MountError, MountSetting, Session, SessionConfig};
use crate::names::Consistency;

pub use donor::Donor;

/// What a mount is made of.
#[derive(Clone, Debug)]
pub struct MountConfig {
    pub node: NodeConfig,
    pub mountpoint: PathBuf,
    pub setting: MountSetting,
    /// Threads that read the kernel's requests; 0 for as many as are usually right.
    pub workers: usize,
    /// Of new files.
    pub consistency: Consistency,
}

#[derive(Debug, Error)]
pub enum MountFailed {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("consistency=lazy is not there yet; use strict, or leave the option out")]
    Lazy,
    #[error("cannot set up the node's files: {0}")]
    Parts(String),
}

/// How a mount is used. Field names are part of the interface (`scifs status --json`).
#[derive(Clone, Debug, Serialize)]
pub struct MountStatus {
    pub mountpoint: PathBuf,
    #[serde(flatten)]
    pub files: FilesStatus,
}

const WORKERS_DEFAULT: usize = 4;

/// The longest write in one request, and the longest read.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// A node whose cluster's files are mounted on a folder. Dropped, it unmounts and vanishes as if it had crashed.
#[derive(Debug)]
pub struct Mount {
    mountpoint: PathBuf,
    session: Session,
    donor: Donor,
}

impl Mount {
    /// Becomes a member and mounts. The mount serves when this returns.
    pub fn start(config: MountConfig) -> Result<Self, MountFailed> {
        if config.consistency == Consistency::Lazy {
            return Err(MountFailed::Lazy);
        }
        let workers = if config.workers == 0 { WORKERS_DEFAULT } else { config.workers.max(2) };
        let donor = Donor::start_with(config.node, config.consistency, workers)?;
        let session = SessionConfig {
            workers,
            write_bytes_max: WRITE_BYTES_MAX,
            // More would fetch pages that nobody asked for from whoever writes to them.
            readahead_bytes_max: scios::limits::PAGE_BYTES as u32,
        };
        let session = Session::mount(&config.mountpoint, &config.setting, session)?;
        donor.serve(&session)?;
        Ok(Self { mountpoint: config.mountpoint, session, donor })
    }

    pub fn node(&self) -> &Arc<Node> {
        self.donor.node()
    }

    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Waits until the mount is gone, whoever unmounted it.
    pub fn wait(&self) {
        self.session.wait();
    }

    /// Takes the mount away, also while it is in use; [`Self::wait`] returns then.
    pub fn unmount(&self) -> Result<(), MountError> {
        self.session.unmount()
    }

    /// After [`Self::wait`]: hands over what this node holds and leaves the cluster. False when nobody could be told in time.
    pub fn leave(&self) -> bool {
        self.donor.leave()
    }

    pub fn status(&self) -> MountStatus {
        MountStatus { mountpoint: self.mountpoint.clone(), files: self.donor.files_status() }
    }
}
