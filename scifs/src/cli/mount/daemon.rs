//! The background process: a fresh one of the same program, not a fork, so that no thread and no device is ever copied.
//!
//! Its standard output is a pipe to the one that started it, and carries one line: `ready`, or the exit code and the
//! sentence of what went wrong. Then it has no terminal, no standard files and no current folder any more. It logs to
//! syslog (the journal listens there), and where there is none to a file beside its control socket.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Plan, serve, this_program};
use crate::cli::CliError;
use crate::control;
use crate::exit::Exit;
use scios::node::NodeConfig;

const READY: &str = "ready";
/// Where syslog and the journal listen.
const SYSLOG: &str = "/dev/log";
/// A longer log is begun anew; its end is kept beside it. Only where there is no syslog, which would see to that.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Whoever looks at a terminal is told after that time that it's still going on.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);
const SENTENCE_BYTES_MAX: u64 = 64 * 1024;

/// Starts the background process with the arguments of this one and waits for its line.
pub(super) fn start(mountpoint: &Path) -> Result<(), CliError> {
    let program = this_program();
    let mut child = Command::new(&program)
        .arg("--daemon")
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| CliError::Background { program, source })?;
    let said = child.stdout.take().map(|output| listen(output, mountpoint)).unwrap_or_default();
    let mut lines = said.lines();
    match lines.next() {
        Some(READY) => Ok(()),
        Some(code) if !code.is_empty() => Err(CliError::Reported {
            exit: code.parse().ok().and_then(Exit::from_code).unwrap_or(Exit::Internal),
            sentence: lines.collect::<Vec<_>>().join("\n"),
        }),
        _ => {
            let how = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(CliError::Died(how))
        }
    }
}

/// Everything that the background process says until it lets go of the pipe.
fn listen(output: ChildStdout, mountpoint: &Path) -> String {
    if io::stderr().is_terminal() {
        show_progress(&output, mountpoint);
    }
    let mut said = Vec::new();
    // What could not be read is as if it had not been said.
    let _ = output.take(SENTENCE_BYTES_MAX).read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// Tells whoever waits that it's still going on, until there is something to read.
fn show_progress(output: &ChildStdout, mountpoint: &Path) {
    let begun = Instant::now();
    let pause = Timespec { tv_sec: PROGRESS_EVERY.as_secs() as i64, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&pause)) {
            Ok(0) => {
                let waited_s = begun.elapsed().as_secs();
                eprintln!("scifs: still mounting {} ({waited_s} s) ...", mountpoint.display());
            }
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// Is the background process, from its first line to its end.
pub(super) fn be(plan: impl FnOnce() -> Result<Plan, CliError>) -> Result<(), CliError> {
    let mut ready = false;
    let result = plan().and_then(|plan| {
        log(&plan.mount.node)?;
        // It fails for the leader of a group only, which a process that was just started isn't.
        let _ = rustix::process::setsid();
        std::env::set_current_dir("/").map_err(CliError::Detach)?;
        serve::run(plan, |line| {
            tracing::info!("{line}");
            ready = true;
            detach(READY)
        })
    });
    match result {
        Err(error) if !ready => {
            tracing::error!(%error, "could not mount");
            let exit = error.exit();
            // Nobody is there to hear it if this fails.
            let _ = detach(&format!("{}\n{error}", exit.code()));
            std::process::exit(exit.code().into());
        }
        Err(error) => {
            tracing::error!(%error, "ended");
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// Says the line and lets go of the standard files. Fails when nobody listened.
fn detach(line: &str) -> Result<(), CliError> {
    let mut output = io::stdout();
    let said = writeln!(output, "{line}").and_then(|()| output.flush());
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(CliError::Detach)?;
    rustix::stdio::dup2_stdout(&null).map_err(|errno| CliError::Detach(errno.into()))?;
    if io::stderr().as_fd().try_clone_to_owned().is_ok_and(|stderr| !is_log(&stderr)) {
        rustix::stdio::dup2_stderr(&null).map_err(|errno| CliError::Detach(errno.into()))?;
    }
    said.map_err(|_| CliError::Abandoned)
}

/// Standard error is a log file if one was opened for it.
fn is_log(stderr: &impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(stderr).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::APPEND))
}

fn log(node: &NodeConfig) -> Result<(), CliError> {
    std::panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    let socket = UnixDatagram::unbound().and_then(|socket| socket.connect(SYSLOG).map(|()| socket));
    if let Ok(socket) = socket {
        return Ok(scios::logging::init_syslog(socket)?);
    }
    let path = control::folder().join(format!("{}.log", node.name));
    // Without a place to write to, it still tells whoever started it why it ends.
    if let Ok(file) = open_log(&path) {
        rustix::stdio::dup2_stderr(&file).map_err(|errno| CliError::Detach(errno.into()))?;
    }
    Ok(scios::logging::init(false)?)
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        control::own_folder(folder).map_err(io::Error::other)?;
    }
    if path.metadata().is_ok_and(|about| about.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
