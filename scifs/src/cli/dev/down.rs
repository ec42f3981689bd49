//! `scifs dev down`: unmounts, waits for the processes to end, and removes what `dev up` made. What has crashed in between
//! is no obstacle.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::state::{Node, State};
use super::{DevError, Doing};
use crate::cli::process::Process;
use crate::cli::{CliError, umount};
use crate::control;
use crate::control::mounts::{self, MOUNT_TYPE};

/// End a cluster that scifs dev up has started, and remove what it made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    dir: PathBuf,
}

/// For the orderly leave of one node.
const LEAVE_WAIT: Duration = Duration::from_secs(15);
/// For its end after a signal.
const SIGNAL_WAIT: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args) -> Result<(), CliError> {
    let folder = match args.dir.canonicalize() {
        Ok(folder) => folder,
        Err(_) => return Err(DevError::Down { folder: args.dir.clone() }.into()),
    };
    let state = State::read(&folder)?;
    take_down(&folder, &state)?;
    Ok(())
}

pub(super) fn take_down(folder: &Path, state: &State) -> Result<(), DevError> {
    // The last that came is the first that goes, so that nobody has to take over from a node that leaves next.
    let processes: Vec<_> = state.nodes.iter().rev().map(|node| (node, process_of(node, state))).collect();
    for (node, process) in processes {
        take_down_node(node, process)?;
    }
    for node in state.nodes.iter().filter(|node| node.made_mountpoint) {
        remove_folder(&node.mountpoint)?;
    }
    match fs::remove_dir_all(&state.runtime) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DevError::Io { doing: "remove", path: state.runtime.clone(), source: error });
        }
        _ => {}
    }
    State::remove(folder)?;
    if state.made_folder { remove_folder(folder) } else { Ok(()) }
}

/// The process that serves the node: who listens at its socket, or who did when the cluster came up.
fn process_of(node: &Node, state: &State) -> Option<Process> {
    let listening = control::pid_of(&node.socket(&state.runtime)).and_then(Process::of);
    listening.or(node.process.filter(|process| process.runs()))
}

fn take_down_node(node: &Node, process: Option<Process>) -> Result<(), DevError> {
    // A stopped process would keep us waiting for nothing.
    if let Some(process) = process {
        process.signal(Signal::CONT);
    }
    // Several, if somebody has mounted over it.
    while mounts::at(&node.mountpoint)
        .doing("look up", &node.mountpoint)?
        .is_some_and(|mounted| mounted.kind == MOUNT_TYPE)
    {
        umount::detach(&node.mountpoint).map_err(|error| DevError::StillMounted {
            path: node.mountpoint.clone(),
            why: error.to_string(),
        })?;
    }
    let Some(process) = process else { return Ok(()) };
    if process.wait(LEAVE_WAIT) {
        return Ok(());
    }
    for signal in [Signal::TERM, Signal::KILL] {
        process.signal(signal);
        if process.wait(SIGNAL_WAIT) {
            break;
        }
    }
    Ok(())
}

/// Only an empty one: what somebody has put there is not ours.
fn remove_folder(path: &Path) -> Result<(), DevError> {
    match fs::remove_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Ok(())
        }
        other => other.doing("remove", path),
    }
}
