//! What is compared: two nodes of SciFS on this machine, as `scifs dev up` starts them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::MountBenchError;
use super::part::{Scratch, until_unwanted};

/// Of each node: the longest file twice, and room for a file that is being deleted.
const MEMORY: &str = "memory=1G";

pub(super) fn keep(scifs: &Path, spin_us: u64) -> Result<(), MountBenchError> {
    let folder = Scratch::new("scifs")?;
    let path = folder.path().to_string_lossy().into_owned();
    let options = format!("{MEMORY},spin_us={spin_us}");
    run(scifs, &["dev", "up", "--nodes", "2", &path, "-o", &options])?;
    until_unwanted(&[format!("{path}/n1"), format!("{path}/n2")]);
    run(scifs, &["dev", "down", &path])
}

fn run(scifs: &Path, arguments: &[&str]) -> Result<(), MountBenchError> {
    let output = Command::new(scifs)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| MountBenchError::Scifs { path: scifs.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(MountBenchError::Refused { command: arguments.join(" "), said })
}
