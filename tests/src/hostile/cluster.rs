//! A cluster of mounts on this machine, by `scifs dev`; taken down when dropped, in whatever state it is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::toucher::Toucher;
use crate::shared::surface::Surface;

/// For a command of ours to end; longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("`{command}` failed: {said}")]
    Command { command: String, said: String },
    #[error("{0} is not beside this program; build it with: cargo build -p scifs -p scifs-tests --bins")]
    NoBinary(&'static str),
}

#[derive(Debug)]
pub struct Cluster {
    surface: Surface,
    folder: PathBuf,
    scifs: PathBuf,
    pids: Vec<Option<Pid>>,
}

impl Cluster {
    /// Nodes 0 to `nodes` - 1 of a new cluster, all serving, whose programs map files that way.
    pub fn up(surface: Surface, nodes: usize, options: &str) -> Result<Self, Trouble> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("scifs-hostile-{}-{number}", std::process::id()));
        let mut cluster = Self { surface, scifs: binary("scifs")?, folder, pids: Vec::new() };
        let folder = cluster.folder.display().to_string();
        cluster.scifs(&["dev", "up", "--nodes", &nodes.to_string(), &folder, "-o", options])?;
        for node in 0..nodes {
            let pid = cluster.status(node)?["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            cluster.pids.push(pid.and_then(Pid::from_raw));
        }
        Ok(cluster)
    }

    pub fn dir(&self, node: usize) -> PathBuf {
        self.folder.join(format!("n{}", node + 1))
    }

    pub fn status(&self, node: usize) -> Result<serde_json::Value, Trouble> {
        let output = self.scifs(&["status", &self.dir(node).display().to_string(), "--json"])?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Trouble::Io { doing: "read the status".into(), source: error.into() })
    }

    /// A program with its hands on a file of that node.
    pub fn program(&self, node: usize, file: &str) -> Result<Toucher, Trouble> {
        Toucher::start(self.surface, &self.scifs, &binary("toucher")?, &self.dir(node).join(file))
            .map_err(|source| Trouble::Io { doing: "start a program".into(), source })
    }

    /// A node that is to stop stands still when this returns.
    pub fn signal(&self, node: usize, signal: Signal) -> Result<(), Trouble> {
        let Some(pid) = self.pids[node] else { return Ok(()) };
        let told = |source| Trouble::Io { doing: format!("signal node {node}"), source };
        kill_process(pid, signal).map_err(|error| told(error.into()))?;
        let deadline = Instant::now() + PATIENCE;
        while signal == Signal::STOP && !stands_still(pid).map_err(told)? {
            if Instant::now() > deadline {
                return Err(told(io::ErrorKind::TimedOut.into()));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether a node's process is there.
    pub fn runs(&self, node: usize) -> bool {
        let stat = |pid: Pid| std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok();
        let stat = self.pids[node].and_then(stat);
        stat.is_some_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')))
    }

    pub fn scifs(&self, arguments: &[&str]) -> Result<Output, Trouble> {
        run(Command::new(&self.scifs).args(arguments))
    }
}

/// Whether every thread of a process is stopped: each stops by itself, and goes on with what it does until then.
fn stands_still(process: Pid) -> io::Result<bool> {
    let mut tasks = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))?.flatten();
    Ok(tasks.all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.pids.len()).for_each(|node| drop(self.signal(node, Signal::CONT)));
        if let Err(trouble) = self.scifs(&["dev", "down", &self.folder.display().to_string()]) {
            eprintln!("{trouble}");
            (0..self.pids.len()).for_each(|node| drop(self.signal(node, Signal::KILL)));
        }
    }
}

/// Runs a command to its end, but not for ever.
pub fn run(command: &mut Command) -> Result<Output, Trouble> {
    let arguments: Vec<_> =
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let line = format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "));
    let told = |source| Trouble::Io { doing: format!("run `{line}`"), source };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(told)?;
    let deadline = Instant::now() + PATIENCE;
    // What our commands print fits into a pipe.
    while child.try_wait().map_err(told)?.is_none() {
        if Instant::now() > deadline {
            // It is gone or it goes; either way its output ends.
            let _gone = child.kill();
            return Err(Trouble::Command { command: line, said: format!("no end after {PATIENCE:?}") });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // A daemon that it left running may still hold its pipes: they are not read to their end, only what is there.
    let output = Output {
        status: child.wait().map_err(told)?,
        stdout: what_is_there(child.stdout.take()).map_err(told)?,
        stderr: what_is_there(child.stderr.take()).map_err(told)?,
    };
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Trouble::Command { command: line, said: format!("{} {said}", output.status) })
}

fn what_is_there<P: Read + std::os::fd::AsFd>(pipe: Option<P>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        match pipe.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => (),
        }
    }
    Ok(bytes)
}

/// Beside the running test: `cargo test` puts tests into `deps`, one level below the binaries.
fn binary(name: &'static str) -> Result<PathBuf, Trouble> {
    let this = std::env::current_exe()
        .map_err(|source| Trouble::Io { doing: "find this program".into(), source })?;
    let near = this.ancestors().skip(1).take(2).map(|folder: &Path| folder.join(name));
    near.into_iter().find(|path| path.exists()).ok_or(Trouble::NoBinary(name))
}
