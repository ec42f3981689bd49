//! The other processes of a comparison: this program again, with another command. Each says when it is ready, and lives until
//! its input ends, which it does whatever becomes of the process that started it. Then it unmounts and removes what it made.
//! Ctrl-C doesn't reach them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// For a part to become ready, or to do its work.
const PATIENCE: Duration = Duration::from_secs(120);
/// For a part to clean up.
const END: Duration = Duration::from_secs(60);
/// For a part that has been killed.
const KILLED: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(50);

const READY: &str = "ready";

#[derive(Debug, thiserror::Error)]
pub(crate) enum PartError {
    #[error("cannot start a part of the comparison: {0}")]
    Spawn(std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("interrupted; what had been mounted is unmounted")]
    Interrupted,
    #[error("the part {name} of the comparison ended or said what it should not: {said}")]
    Said { name: String, said: String },
    #[error("the part {name} of the comparison has not answered for {seconds} s")]
    Stuck { name: String, seconds: u64 },
    #[error("the part {name} of the comparison takes no orders: {source}")]
    Order { name: String, source: std::io::Error },
    #[error("cannot make the folder {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
}

/// Whether the user wants an end.
#[derive(Clone)]
pub(crate) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    pub(crate) fn heeded() -> Result<Self, PartError> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(PartError::Signals)?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn check(&self) -> Result<(), PartError> {
        if self.0.load(Ordering::Relaxed) { Err(PartError::Interrupted) } else { Ok(()) }
    }
}

/// What becomes of a part that isn't wanted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It cleans up.
    Serves,
    /// It has nothing to clean up. While a mount owes it an answer not even a signal ends it, but the end of the mount does, and that comes next.
    Loads,
}

pub(crate) struct Part {
    /// Its command, for messages.
    name: String,
    role: Role,
    child: Child,
    lines: Receiver<String>,
    interrupts: Interrupts,
    said: Vec<String>,
}

impl Part {
    pub(crate) fn start(arguments: &[String], interrupts: &Interrupts) -> Result<Self, PartError> {
        Self::spawn(arguments, interrupts, Role::Serves)?.ready()
    }

    /// One that uses what others serve, as it is told.
    pub(crate) fn start_load(arguments: &[String], interrupts: &Interrupts) -> Result<Self, PartError> {
        Self::spawn(arguments, interrupts, Role::Loads)?.ready()
    }

    /// Runs one that uses what others serve to its end, and gives the line that it printed.
    pub(crate) fn run(arguments: &[String], interrupts: &Interrupts) -> Result<String, PartError> {
        Self::spawn(arguments, interrupts, Role::Loads)?.line()
    }

    /// Gives it an order, which it answers by a line.
    pub(crate) fn tell(&mut self, order: &str) -> Result<(), PartError> {
        let input = self.child.stdin.as_mut();
        let told =
            input.map_or(Err(std::io::ErrorKind::BrokenPipe.into()), |input| writeln!(input, "{order}"));
        told.map_err(|source| PartError::Order { name: self.name.clone(), source })
    }

    /// What it said when it was ready.
    pub(crate) fn said<const N: usize>(&self) -> Result<&[String; N], PartError> {
        let too_little = || PartError::Said { name: self.name.clone(), said: self.said.join(" ") };
        self.said.first_chunk().ok_or_else(too_little)
    }

    pub(crate) fn all_said(&self) -> &[String] {
        &self.said
    }

    /// Lets one that loads come to its end, which has to be a good one.
    pub(crate) fn finish(mut self) -> Result<(), PartError> {
        drop(self.child.stdin.take());
        match self.ended_by(Instant::now() + END) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(PartError::Said { name: self.name.clone(), said: status.to_string() }),
            None => Err(PartError::Stuck { name: self.name.clone(), seconds: END.as_secs() }),
        }
    }

    fn ready(mut self) -> Result<Self, PartError> {
        let line = self.line()?;
        let mut words = line.split('\t').map(str::to_owned);
        if words.next().as_deref() != Some(READY) {
            return Err(PartError::Said { name: self.name.clone(), said: line });
        }
        self.said = words.collect();
        Ok(self)
    }

    fn spawn(arguments: &[String], interrupts: &Interrupts, role: Role) -> Result<Self, PartError> {
        interrupts.check()?;
        let binary = std::env::current_exe().map_err(PartError::Spawn)?;
        let mut command = Command::new(binary);
        command.args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(PartError::Spawn)?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the part's output.
            std::thread::spawn(move || {
                let lines = BufReader::new(output).lines();
                lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Self {
            name: arguments.join(" "),
            role,
            child,
            lines,
            interrupts: interrupts.clone(),
            said: Vec::new(),
        })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<String, PartError> {
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
                    return Err(PartError::Said { name: self.name.clone(), said });
                }
            }
        }
        Err(PartError::Stuck { name: self.name.clone(), seconds: PATIENCE.as_secs() })
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
        if self.role == Role::Loads {
            let _ended = self.child.kill();
            self.ended_by(Instant::now() + KILLED);
        } else if self.ended_by(Instant::now() + END).is_none() {
            eprintln!("scifs-bench: {} does not end; it is killed, look for mounts that it left", self.name);
            let _ended = self.child.kill();
            self.ended_by(Instant::now() + KILLED);
        }
    }
}

/// In a part that loads: it may wait for a page when who started it dies.
pub(crate) fn end_with_parent() -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let orphan = getppid().is_none_or(|parent| parent.is_init());
    if orphan { Err(std::io::ErrorKind::NotConnected.into()) } else { Ok(()) }
}

/// In a part: says that it is ready.
pub(crate) fn say_ready(said: &[String]) {
    println!("{READY}\t{}", said.join("\t"));
}

/// In a part: says that it is ready, and waits until nobody wants it any more.
pub(crate) fn until_unwanted(said: &[String]) {
    say_ready(said);
    // The end of the input or an error: both mean the same.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A folder of this process, removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self, PartError> {
        let path = std::env::temp_dir().join(format!("scifs-bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).map_err(|source| PartError::Folder { path: path.clone(), source })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
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
