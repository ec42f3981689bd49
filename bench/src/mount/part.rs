//! The other processes of a comparison: this program again, with another command. Each says when it is ready, and lives until
//! its input ends, which it does whatever becomes of the process that started it. Then it unmounts and removes what it made.
//! Ctrl-C doesn't reach them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::MountBenchError;

/// For a part to become ready, or to do its work.
const PATIENCE: Duration = Duration::from_secs(120);
/// For a part to clean up.
const END: Duration = Duration::from_secs(60);
/// For a part that has been killed.
const KILLED: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(50);

const READY: &str = "ready";

/// Whether the user wants an end.
#[derive(Clone)]
pub(super) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    pub(super) fn heeded() -> Result<Self, MountBenchError> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(MountBenchError::Signals)?;
        }
        Ok(Self(flag))
    }

    pub(super) fn check(&self) -> Result<(), MountBenchError> {
        if self.0.load(Ordering::Relaxed) { Err(MountBenchError::Interrupted) } else { Ok(()) }
    }
}

pub(super) struct Part {
    /// Its command, for messages.
    name: String,
    loads: bool,
    child: Child,
    lines: Receiver<String>,
    interrupts: Interrupts,
    /// What it said when it was ready.
    pub(super) said: Vec<String>,
}

impl Part {
    pub(super) fn start(arguments: &[String], interrupts: &Interrupts) -> Result<Self, MountBenchError> {
        let mut part = Self::spawn(arguments, interrupts)?;
        let line = part.line()?;
        let mut words = line.split('\t').map(str::to_owned);
        if words.next().as_deref() != Some(READY) {
            return Err(MountBenchError::Part { name: part.name.clone(), said: line });
        }
        part.said = words.collect();
        Ok(part)
    }

    /// Runs one to its end and gives the line that it printed.
    pub(super) fn run(arguments: &[String], interrupts: &Interrupts) -> Result<String, MountBenchError> {
        Self::spawn(arguments, interrupts)?.line()
    }

    fn spawn(arguments: &[String], interrupts: &Interrupts) -> Result<Self, MountBenchError> {
        interrupts.check()?;
        let binary = std::env::current_exe().map_err(MountBenchError::Spawn)?;
        let mut command = Command::new(binary);
        command.arg("mount-part").args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(MountBenchError::Spawn)?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the part's output.
            std::thread::spawn(move || {
                let lines = BufReader::new(output).lines();
                lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        let loads = arguments.first().is_some_and(|name| name == LOAD);
        Ok(Self {
            name: arguments.join(" "),
            loads,
            child,
            lines,
            interrupts: interrupts.clone(),
            said: Vec::new(),
        })
    }

    fn line(&mut self) -> Result<String, MountBenchError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.interrupts.check()?;
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let said = self.ended_by(Instant::now() + END);
                    let said =
                        said.map_or_else(|| "nothing, but goes on".into(), |status| status.to_string());
                    return Err(MountBenchError::Part { name: self.name.clone(), said });
                }
            }
        }
        Err(MountBenchError::Stuck { name: self.name.clone(), seconds: PATIENCE.as_secs() })
    }

    fn ended_by(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if self.loads {
            // It has nothing to clean up. While a mount owes it an answer not even this ends it, but the end of the mount
            // does, and that comes next.
            let _ended = self.child.kill();
            self.ended_by(Instant::now() + KILLED);
        } else if self.ended_by(Instant::now() + END).is_none() {
            eprintln!("scifs-bench: {} does not end; it is killed, look for mounts that it left", self.name);
            let _ended = self.child.kill();
            self.ended_by(Instant::now() + KILLED);
        }
    }
}

/// The part that uses the mounts.
pub(super) const LOAD: &str = "load";

/// In a part: says that it is ready, and waits until nobody wants it any more.
pub(super) fn until_unwanted(said: &[String]) {
    println!("{READY}\t{}", said.join("\t"));
    // The end of the input or an error: both mean the same.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A folder of this process, removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Result<Self, MountBenchError> {
        let path = std::env::temp_dir().join(format!("scifs-bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|source| MountBenchError::Folder { path: path.clone(), source })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("scifs-bench: cannot remove {}: {error}", self.0.display());
        }
    }
}
