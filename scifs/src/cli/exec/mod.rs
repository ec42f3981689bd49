//! `scifs exec`: becomes a command whose mappings of files on a mount are served by userfaultfd, by a library that the loader
//! puts before the others. Nothing else about the command changes.

mod library;
mod program;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::CliError;
use crate::exit::Exit;
use program::Program;

/// Run a program whose mappings of files on a mount take the fast path
///
/// Any dynamically linked program: what it maps shared of a file on a mount is served by userfaultfd instead of the kernel's page cache. That is
/// faster, and many nodes may read a page that is open for writing. Its children inherit it. Whatever can't have the fast path (a static
/// or setuid program, a user without userfaultfd) goes on through the mount: slower, and just as coherent. The exit code is the program's.
///
/// For example: scifs exec -- python3 job.py /dsm/data
#[derive(Debug, clap::Args)]
#[command(override_usage = "scifs exec [OPTIONS] [--] COMMAND [ARGUMENT]...")]
pub(super) struct Args {
    /// Say on standard error which mapping takes which way, and why
    #[arg(short, long)]
    verbose: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error(
        "the library {name} is in none of {places}; build it by `cargo build -p scifs-preload`, install it by \
         `cargo xtask install`, or say where it is by SCIFS_PRELOAD=PATH"
    )]
    NoLibrary { name: &'static str, places: String },
    #[error(
        "the path of the library, {path}, has a blank, a colon or a dollar sign in it, which the loader doesn't take; copy the library \
         elsewhere and say where by SCIFS_PRELOAD=PATH"
    )]
    BadPath { path: PathBuf },
    #[error("there is no command {name:?} in PATH; give its path, or install it")]
    NotFound { name: OsString },
    #[error("cannot run {path}: {source}")]
    Run { path: PathBuf, source: io::Error },
}

impl ExecError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoLibrary { .. } | Self::BadPath { .. } | Self::Run { .. } => Exit::System,
            Self::NotFound { .. } => Exit::Usage,
        }
    }
}

/// The loader's list of libraries that come before all others.
const PRELOAD: &str = "LD_PRELOAD";
/// The library's own; see `client/preload/src/say.rs`.
const VERBOSE: &str = "SCIFS_VERBOSE";

/// Comes back only with an error.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let Some((name, arguments)) = args.command.split_first() else { return Ok(()) };
    let library = library::find()?;
    let path = program::find(name, env::var_os("PATH").as_deref())
        .ok_or_else(|| ExecError::NotFound { name: name.clone() })?;
    let program = Program::look(&path);
    if let Some(obstacle) = program.obstacle().filter(|_| args.verbose) {
        eprintln!("scifs: {} {obstacle}", path.display());
    }
    let mut command = Command::new(&path);
    command.arg0(name).args(arguments);
    if program.takes_libraries() {
        command.env(PRELOAD, joined(&library, env::var_os(PRELOAD).as_deref()));
    }
    if args.verbose {
        command.env(VERBOSE, "1");
    }
    let source = command.exec();
    Err(ExecError::Run { path, source }.into())
}

/// Ours before what the user has there, once.
fn joined(library: &std::path::Path, before: Option<&OsStr>) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(before) = before.filter(|before| !before.is_empty() && *before != library.as_os_str()) {
        list.push(":");
        list.push(before);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_preloaded_before_still_is() {
        let library = std::path::Path::new("/a/b.so");
        assert_eq!(joined(library, None), "/a/b.so");
        assert_eq!(joined(library, Some(OsStr::new("/a/b.so"))), "/a/b.so");
        assert_eq!(joined(library, Some(OsStr::new("x.so y.so"))), "/a/b.so:x.so y.so");
    }
}
