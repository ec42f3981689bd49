//! Everything that can stop xtask, each with a sentence that says what to do next.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// Exit code of a run that hit its time limit (the code that timeout(1) uses).
pub(crate) const EXIT_TIMEOUT: u8 = 124;
/// Exit code when xtask itself failed, and not the command that it was asked to run.
pub(crate) const EXIT_XTASK: u8 = 125;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {doing}")]
    Io { doing: String, source: io::Error },

    #[error("cannot start `{program}`; is it installed? `cargo xtask setup` as root installs what is needed")]
    Spawn { program: String, source: io::Error },

    #[error("`{command}` failed ({status}):\n{stderr}")]
    Failed { command: String, status: ExitStatus, stderr: String },

    #[error(
        "Debian packages are missing; install them as root with\n  apt-get update && apt-get install --no-install-recommends {0}"
    )]
    PackagesMissing(String),

    #[error(
        "this needs a Debian (or derived) machine with apt and dpkg, and `{0}` is not here; \
         on another system install the equivalents of: {1}"
    )]
    NotDebian(&'static str, String),

    #[error("the guest is built for x86_64 and this machine is {0}; run it on an x86_64 machine")]
    Architecture(&'static str),

    #[error("{0}")]
    KernelPackage(String),

    #[error("{path} is not a kernel image that can be unpacked: {why}; remove its folder to fetch it again")]
    KernelImage { path: PathBuf, why: String },

    #[error("{0}")]
    Usage(String),

    #[error("guest {node}: {what}. Last lines of its console ({log}):\n{tail}")]
    Guest { node: usize, what: String, log: PathBuf, tail: String },

    #[error("stopped after {} s (--timeout) {during}. Last lines of the console ({log}):\n{tail}", after.as_secs())]
    Timeout { after: Duration, during: String, log: PathBuf, tail: String },
}

impl Error {
    /// The exit code this error asks for, if it has one of its own.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        matches!(self, Error::Timeout { .. }).then_some(EXIT_TIMEOUT)
    }
}

/// Adds to an I/O error what was being done.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|errno| Error::Io { doing: what(), source: errno.into() })
    }
}

/// Runs a command to its end and returns what it printed; a failure carries its standard error.
pub(crate) fn output_of(command: &mut Command) -> Result<Output, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    Err(Error::Failed {
        command: format!("{program} {}", arguments.join(" ")),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    })
}
