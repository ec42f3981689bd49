//! `scifs dev`: a cluster on this machine, to try things with. Each node is a process of its own, mounted below one folder.

mod down;
mod state;
mod up;

use std::io;
use std::path::PathBuf;

use clap::Subcommand;

use super::CliError;
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Up(up::Args),
    Down(down::Args),
}

pub(super) fn run(command: &Command) -> Result<(), CliError> {
    match command {
        Command::Up(args) => up::run(args),
        Command::Down(args) => down::run(args),
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DevError {
    #[error("--nodes {nodes} is not from 1 to {max}")]
    Nodes { nodes: usize, max: usize },
    #[error("scifs dev sets {option}= itself; leave it out of -o")]
    Option { option: &'static str },
    #[error("{folder} has a cluster of scifs dev already; end it first: scifs dev down {folder}")]
    Up { folder: PathBuf },
    #[error("{folder} has no cluster of scifs dev; start one: scifs dev up --nodes 3 {folder}")]
    Down { folder: PathBuf },
    #[error("cannot {doing} {path}: {source}")]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is not what scifs dev up wrote: {source}; end its processes yourself and remove it")]
    State { path: PathBuf, source: serde_json::Error },
    #[error("node {name} did not come up: {said}")]
    Node { name: String, said: String, exit: Exit },
    #[error("interrupted; what had been started is ended")]
    Interrupted,
    #[error("{path} is still mounted: {why}; run scifs dev down again")]
    StillMounted { path: PathBuf, why: String },
}

impl DevError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Nodes { .. } | Self::Option { .. } | Self::Up { .. } | Self::Down { .. } => Exit::Usage,
            Self::Io { .. } => Exit::System,
            Self::Node { exit, .. } => *exit,
            Self::Interrupted => Exit::Interrupted,
            Self::State { .. } | Self::StillMounted { .. } => Exit::Failed,
        }
    }
}

trait Doing<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, DevError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, DevError> {
        self.map_err(|source| DevError::Io { doing, path: path.into(), source })
    }
}
