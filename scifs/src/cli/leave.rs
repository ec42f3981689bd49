//! `scifs leave`: an orderly good-bye, of a node with a mount or without.

use super::{CliError, ask};

/// Have a node of this machine unmount, leave its cluster in an orderly way, and end
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node's name, its mountpoint, or the path of its control socket
    node: String,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let answer = ask::ask(Some(&args.node), "leave")?;
    match answer["orderly"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(CliError::NotOrderly),
    }
}
