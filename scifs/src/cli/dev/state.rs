//! What `dev up` notes for `dev down`: written before anything is started and again after each step, so that whatever
//! becomes of `up` itself, `down` finds all of it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DevError, Doing};
use crate::cli::process::Process;
use crate::control;

/// In the folder of the cluster.
const FILE: &str = ".scifs-dev.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The cluster's folder was made for it, and goes with it.
    pub(super) made_folder: bool,
    /// Where the nodes' control sockets and logs are.
    pub(super) runtime: PathBuf,
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) mountpoint: PathBuf,
    pub(super) made_mountpoint: bool,
    /// Known once it serves.
    pub(super) process: Option<Process>,
}

impl Node {
    pub(super) fn socket(&self, runtime: &Path) -> PathBuf {
        runtime.join(format!("{}.sock", self.name))
    }
}

impl State {
    pub(super) fn exists(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    pub(super) fn read(folder: &Path) -> Result<Self, DevError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DevError::Down { folder: folder.into() });
            }
            other => other.doing("read", &path)?,
        };
        serde_json::from_slice(&text).map_err(|source| DevError::State { path, source })
    }

    /// Complete or not at all: a machine that crashes in between leaves the one before.
    pub(super) fn write(&self, folder: &Path) -> Result<(), DevError> {
        let path = folder.join(FILE);
        let draft = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| DevError::State { path: path.clone(), source })?;
        fs::write(&draft, text).doing("write", &draft)?;
        fs::rename(&draft, &path).doing("write", &path)
    }

    pub(super) fn remove(folder: &Path) -> Result<(), DevError> {
        let path = folder.join(FILE);
        fs::remove_file(&path).doing("remove", &path)
    }
}

/// A folder for the sockets of this cluster: the path of a socket must be short, and the cluster's folder needn't be.
pub(super) fn runtime(folder: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    control::folder().join(format!("dev-{:016x}", hasher.finish()))
}
