//! `scifs completions`: what the shell needs to complete our command line.

use clap_complete::Shell;

use super::{CliError, command, print};

/// Print the completions for a shell
///
/// For bash, for example: scifs completions bash > /etc/bash_completion.d/scifs
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "scifs", &mut text);
    print(&String::from_utf8_lossy(&text));
    Ok(())
}
