//! The folder of one run's logs, `target/guest/run/PID-N`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::kernel::remove_dir;
use crate::error::{Doing, Error};

/// Removed after a run that went well. What failed runs leave stays until the next run starts.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) path: PathBuf,
}

impl RunDir {
    /// Creates it, and removes those whose process is gone.
    pub(super) fn create() -> Result<RunDir, Error> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let parent = crate::paths::guest().join("run");
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.split('-').next().unwrap_or_default();
            if !Path::new("/proc").join(owner).exists() {
                remove_dir(&entry.path())?;
            }
        }
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{run}", std::process::id()));
        remove_dir(&path)?;
        fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
        Ok(RunDir { path })
    }

    pub(super) fn remove(self) -> Result<(), Error> {
        remove_dir(&self.path)
    }
}
