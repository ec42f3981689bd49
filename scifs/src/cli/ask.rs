//! Commands that ask a node of this machine: status, ping, leave.

use serde_json::Value;

use super::{CliError, show};
use crate::control;

/// Show a node of this machine, its cluster and its memory
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The node's name, or the path of its control socket
    node: String,
    /// Print JSON, with all metrics
    #[arg(long)]
    json: bool,
}

/// Measure round trips from a node of this machine to every other member
#[derive(Debug, clap::Args)]
pub(super) struct PingArgs {
    /// The node's name, or the path of its control socket
    node: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Have a node of this machine leave its cluster in an orderly way, and end
#[derive(Debug, clap::Args)]
pub(super) struct LeaveArgs {
    /// The node's name, or the path of its control socket
    node: String,
}

pub(super) fn status(args: &StatusArgs) -> Result<(), CliError> {
    let answer = ask(&args.node, "status")?;
    print(if args.json { format!("{answer:#}") } else { show::status(&answer) });
    Ok(())
}

pub(super) fn ping(args: &PingArgs) -> Result<(), CliError> {
    let answer = ask(&args.node, "ping")?;
    print(if args.json { format!("{answer:#}") } else { show::round_trips(&answer) });
    Ok(())
}

pub(super) fn leave(args: &LeaveArgs) -> Result<(), CliError> {
    let answer = ask(&args.node, "leave")?;
    match answer["orderly"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(CliError::NotOrderly),
    }
}

fn ask(node: &str, request: &str) -> Result<Value, CliError> {
    let answer = control::ask(node, request)?;
    match answer["error"].as_str() {
        Some(error) => Err(CliError::Refused(error.into())),
        None => Ok(answer),
    }
}

/// A reader that has seen enough (`| head`) is no error.
fn print(text: String) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}
