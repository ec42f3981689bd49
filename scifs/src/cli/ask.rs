//! Commands that ask a node of this machine: status and ping.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CliError, print, show};
use crate::control::{self, mounts};

/// Show a node of this machine: its cluster, memory, mount and requests
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The node's name, its mountpoint, or the path of its control socket (default: the only node that runs here)
    node: Option<String>,
    /// Print JSON, with all metrics
    #[arg(long)]
    json: bool,
}

/// Measure round trips from a node of this machine to every other member
#[derive(Debug, clap::Args)]
pub(super) struct PingArgs {
    /// The node's name, its mountpoint, or the path of its control socket (default: the only node that runs here)
    node: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs) -> Result<(), CliError> {
    let answer = ask(args.node.as_deref(), "status")?;
    print(&if args.json { format!("{answer:#}") } else { show::status(&answer) });
    Ok(())
}

pub(super) fn ping(args: &PingArgs) -> Result<(), CliError> {
    let answer = ask(args.node.as_deref(), "ping")?;
    print(&if args.json { format!("{answer:#}") } else { show::round_trips(&answer) });
    Ok(())
}

/// Asks the node that was named in one of the ways that there are.
pub(super) fn ask(node: Option<&str>, request: &str) -> Result<Value, CliError> {
    let socket = match node {
        Some(node) => find(node)?,
        None => only()?,
    };
    let answer = control::ask(&socket.to_string_lossy(), request)?;
    match answer["error"].as_str() {
        Some(error) => Err(CliError::Refused(error.into())),
        None => Ok(answer),
    }
}

/// A name is looked for before a folder of that name; what has a slash is a path.
fn find(node: &str) -> Result<PathBuf, CliError> {
    let path = Path::new(node);
    let socket = control::socket_path(node);
    let named = if node.contains('/') { control::name_of(path).is_some() } else { socket.exists() };
    if named {
        return Ok(socket);
    }
    match mounts::around(path) {
        Ok(Some(mounted)) => mounts::socket_of(&mounted).ok_or_else(|| {
            CliError::WhichNode(format!(
                "the node that serves {} does not run, or runs as another user; remove a dead mount with: umount {}",
                mounted.point.display(),
                mounted.point.display(),
            ))
        }),
        Ok(None) if node.contains('/') => Err(CliError::WhichNode(format!("{node} is not on a SciFS mount"))),
        // Neither: the answer is about the name.
        _ => Ok(socket),
    }
}

fn only() -> Result<PathBuf, CliError> {
    let mut running: Vec<_> =
        control::sockets().into_iter().filter(|socket| control::pid_of(socket).is_some()).collect();
    match (running.pop(), running.len()) {
        (Some(socket), 0) => Ok(socket),
        (None, _) => Err(CliError::WhichNode(format!(
            "no node of this user runs here (see {}); start one with: scifs MOUNTPOINT",
            control::folder().display()
        ))),
        (Some(last), _) => {
            running.push(last);
            let names: Vec<_> = running.iter().filter_map(|socket| control::name_of(socket)).collect();
            Err(CliError::WhichNode(format!("several nodes run here; name one of: {}", names.join(", "))))
        }
    }
}
