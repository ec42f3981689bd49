//! The command line: one module a subcommand; without one it mounts. Whatever goes wrong ends in one sentence on stderr
//! and one of the exit codes of [`Exit`].

mod ask;
mod completions;
mod create;
mod dev;
mod error;
mod exec;
mod help;
mod leave;
mod manual;
mod mount;
mod node;
mod process;
mod serving;
mod show;
mod stat;
mod umount;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::Exit;
use crate::vm::keeper;
use error::CliError;

#[derive(Debug, Parser)]
#[command(
    name = "scifs",
    version,
    about = help::ABOUT,
    long_about = help::LONG_ABOUT,
    override_usage = "scifs [SOURCE] MOUNTPOINT [-o OPTIONS] [-f] [-d]\n       scifs COMMAND ...",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    mount: mount::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Umount(umount::Args),
    Status(ask::StatusArgs),
    Stat(stat::Args),
    Create(create::Args),
    Exec(exec::Args),
    Ping(ask::PingArgs),
    Leave(leave::Args),
    Node(node::Args),
    /// Run a cluster of several nodes on this machine, to try things
    #[command(subcommand)]
    Dev(dev::Command),
    Completions(completions::Args),
    Manual(manual::Args),
    #[command(hide = true)]
    Guard(mount::GuardArgs),
    /// Stand in for a daemon that has ended, until the last program that shared its memory has
    #[command(hide = true)]
    Keeper,
}

/// The whole command line as clap sees it.
fn command() -> clap::Command {
    Cli::command()
        .after_long_help(help::after())
        .after_help("scifs --help has the options and examples; scifs COMMAND --help is about one command")
}

/// Runs the command that the process was started with.
pub fn run() -> Exit {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // Nothing is left to try when even this can't be printed.
            let _ = error.print();
            return exit;
        }
    };
    let result = match cli.command {
        None => mount::run(cli.mount),
        Some(Command::Umount(args)) => umount::run(&args),
        Some(Command::Status(args)) => ask::status(&args),
        Some(Command::Stat(args)) => stat::run(&args),
        Some(Command::Create(args)) => create::run(&args),
        Some(Command::Exec(args)) => exec::run(&args),
        Some(Command::Ping(args)) => ask::ping(&args),
        Some(Command::Leave(args)) => leave::run(&args),
        Some(Command::Node(args)) => node::run(&args),
        Some(Command::Dev(command)) => dev::run(&command),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Manual(_)) => manual::run(),
        Some(Command::Guard(args)) => mount::guard(&args),
        Some(Command::Keeper) => keep(),
    };
    match result {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("scifs: {error}");
            error.exit()
        }
    }
}

fn keep() -> Result<(), CliError> {
    keeper::run().map_err(CliError::Keeper)
}

/// What a command prints. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Names of every subcommand, to tell a mistyped one from the source of a mount.
fn command_names() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound_and_every_command_explains_itself() {
        command().debug_assert();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
        let help = command().render_long_help().to_string();
        for word in ["mount -t fuse scifs /dsm", "scifs dev up", "allow_other", "Exit codes:", "memory=SIZE"]
        {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn what_mount_passes_is_a_mount_and_a_word_is_a_command() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        for line in ["scifs /dsm -o rw,dev,suid", "scifs n1:7000 /dsm -o rw,dev,suid", "scifs -f -d /dsm"] {
            assert!(parse(line).command.is_none(), "{line}");
        }
        assert!(matches!(parse("scifs status /dsm").command, Some(Command::Status(_))));
        assert!(matches!(parse("scifs dev down /tmp/x").command, Some(Command::Dev(_))));
        assert!(Cli::try_parse_from(["scifs", "a", "b", "c"]).is_err());
        assert!(Cli::try_parse_from(["scifs", "-x", "/dsm"]).is_err());
    }
}
