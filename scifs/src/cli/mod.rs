//! The command line: one module a subcommand. Whatever goes wrong ends in one sentence on stderr and one of the exit
//! codes of [`Exit`].

mod ask;
mod node;
mod show;

use clap::{Parser, Subcommand};

use crate::control::ControlError;
use crate::exit::Exit;
use crate::options::OptionsError;
use scios::auth::SecretError;
use scios::logging::LoggingError;
use scios::node::NodeError;
use scios::verbs::FabricError;

#[derive(Debug, Parser)]
#[command(name = "scifs", version, about = ABOUT, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str =
    "A cluster's memory. Nodes donate memory, find each other and stay in agreement about who is there.";

const EXAMPLES: &str = "\
A cluster of three on one machine, without any set-up:
  scifs node -o name=ant,listen=127.0.0.1:7001,memory=256M &
  scifs node -o name=bee,listen=127.0.0.1:7002,memory=256M,join=127.0.0.1:7001 &
  scifs node -o name=cat,listen=127.0.0.1:7003,memory=256M,join=127.0.0.1:7001 &
  scifs status ant

Across machines, nodes need a secret that they share:
  head -c 32 /dev/urandom > secret; chmod 600 secret
  scifs node -o listen=10.0.0.1:7000,secret=secret";

#[derive(Debug, Subcommand)]
enum Command {
    Node(node::Args),
    Status(ask::StatusArgs),
    Ping(ask::PingArgs),
    Leave(ask::LeaveArgs),
}

/// Runs the command that the process was started with.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // Nothing is left to try when even this can't be printed.
            let _ = error.print();
            return exit;
        }
    };
    let result = match cli.command {
        Command::Node(args) => node::run(&args),
        Command::Status(args) => ask::status(&args),
        Command::Ping(args) => ask::ping(&args),
        Command::Leave(args) => ask::leave(&args),
    };
    match result {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("scifs: {error}");
            error.exit()
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("the node says: {0}")]
    Refused(String),
    #[error("nobody could be told in time that this node leaves; the others will declare it dead")]
    NotOrderly,
}

impl CliError {
    fn exit(&self) -> Exit {
        match self {
            Self::Options(error) => error.exit(),
            Self::Secret(_) => Exit::Usage,
            Self::Node(error) => node_exit(error),
            Self::Control(ControlError::NoNode { .. } | ControlError::Answer { .. })
            | Self::Refused(_)
            | Self::NotOrderly => Exit::Failed,
            Self::Control(ControlError::NameTaken { .. }) => Exit::Usage,
            Self::Control(_) | Self::Logging(_) | Self::Signals(_) => Exit::System,
        }
    }
}

fn node_exit(error: &NodeError) -> Exit {
    match error {
        NodeError::Name { .. }
        | NodeError::Fabric(FabricError::Address { .. } | FabricError::SecretNeeded { .. }) => Exit::Usage,
        NodeError::Join(_) | NodeError::Ended(_) => Exit::Failed,
        _ => Exit::System,
    }
}
