//! What is compared: nodes of SciFS on this machine, as `scifs dev up` starts them, kept by a part of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::part::{Interrupts, Part, PartError, Scratch, until_unwanted};

/// Of each node: the longest file twice, and room for a file that is being deleted.
const MEMORY: &str = "memory=1G";

/// The command of the part.
pub(crate) const COMMAND: &str = "cluster";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long)]
    spin_us: u64,
    #[arg(long)]
    nodes: usize,
    scifs: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("cannot find the program beside this one: {0}; name it with --scifs")]
    Beside(std::io::Error),
    #[error(
        "cannot run {path}: {source}; build it first: cargo build --release -p scifs, or name it with --scifs"
    )]
    Scifs { path: PathBuf, source: std::io::Error },
    #[error("the part that keeps the nodes named too few mounts")]
    Mounts,
    #[error("scifs {command} failed: {said}")]
    Refused { command: String, said: String },
}

/// The program that is measured, if nobody names another.
pub(crate) fn program(named: Option<&Path>) -> Result<PathBuf, ClusterError> {
    match named {
        Some(path) => Ok(path.into()),
        None => std::env::current_exe().map(|own| own.with_file_name("scifs")).map_err(ClusterError::Beside),
    }
}

/// Nodes that live as long as this does.
pub(crate) struct Cluster {
    /// By node.
    pub(crate) mounts: Vec<String>,
    /// Their processes, as far as they are known.
    pub(crate) daemons: Vec<u32>,
    _part: Part,
}

pub(crate) fn start(
    scifs: &Path,
    nodes: usize,
    spin_us: u64,
    interrupts: &Interrupts,
) -> Result<Cluster, ClusterError> {
    let options = [COMMAND.into(), format!("--nodes={nodes}"), format!("--spin-us={spin_us}")];
    let part = Part::start(&[&options[..], &[scifs.to_string_lossy().into_owned()]].concat(), interrupts)?;
    let (mounts, daemons) = part.all_said().split_at_checked(nodes).ok_or(ClusterError::Mounts)?;
    let daemons = daemons.iter().filter_map(|pid| pid.parse().ok()).collect();
    Ok(Cluster { mounts: mounts.to_vec(), daemons, _part: part })
}

/// What `scifs dev up` has noted about the processes that it started.
fn daemons(folder: &Path) -> Vec<String> {
    let text = std::fs::read(folder.join(".scifs-dev.json")).unwrap_or_default();
    let noted: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let nodes = noted["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["process"]["pid"].as_u64()).map(|pid| pid.to_string()).collect()
}

/// How much a process has worked so far, as exactly as the kernel tells others: in hundredths of a second. Nothing if it is gone.
pub(crate) fn worked_ns(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses can have anything in it; then come the state and ten numbers that don't matter here.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks: u64 = fields.take(2).map_while(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 * 1e9 / rustix::param::clock_ticks_per_second() as f64)
}

/// The part itself.
pub(crate) fn keep(options: &Options) -> Result<(), ClusterError> {
    let Options { spin_us, nodes, scifs } = options;
    let folder = Scratch::new("scifs")?;
    let path = folder.path().to_string_lossy().into_owned();
    let mount_options = format!("{MEMORY},spin_us={spin_us}");
    run(scifs, &["dev", "up", "--nodes", &nodes.to_string(), &path, "-o", &mount_options])?;
    let mounts: Vec<String> = (1..=*nodes).map(|node| format!("{path}/n{node}")).collect();
    until_unwanted(&[mounts, daemons(folder.path())].concat());
    run(scifs, &["dev", "down", &path])
}

fn run(scifs: &Path, arguments: &[&str]) -> Result<(), ClusterError> {
    let output = Command::new(scifs)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ClusterError::Scifs { path: scifs.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ClusterError::Refused { command: arguments.join(" "), said })
}
