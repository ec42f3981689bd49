//! Processes that work for this one: each reads orders from its input, a line each, and answers every order with a line.
//! They die with this process, whatever happens to it, and are killed when one of them keeps everybody waiting.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// For a killed process to be gone.
const END: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

/// Why a worker didn't answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Silence {
    #[error("it does not answer; it hangs")]
    Hangs,
    #[error("it ended without an answer: {0}")]
    Ended(String),
}

impl Worker {
    /// Starts this program again with other arguments.
    pub fn start(arguments: &[String]) -> io::Result<Self> {
        Self::of(&std::env::current_exe()?, arguments)
    }

    pub fn of(program: &Path, arguments: &[String]) -> io::Result<Self> {
        let mut child =
            Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let (sender, answers) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the worker's output.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, orders, answers })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A worker that is gone is noticed by `answer`.
    pub fn order(&mut self, line: &str) {
        if let Some(orders) = &mut self.orders {
            let _gone = writeln!(orders, "{line}");
        }
    }

    pub fn answer(&mut self, deadline: Instant) -> Result<String, Silence> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.answers.recv_timeout(left) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(Silence::Hangs),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map(|status| status.to_string());
                Err(Silence::Ended(status.unwrap_or_else(|error| error.to_string())))
            }
        }
    }

    /// Kills it and waits; `false` if it isn't gone by then.
    pub fn killed_by(&mut self, deadline: Instant) -> bool {
        self.kill();
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(GLANCE);
        }
        true
    }

    pub fn kill(&mut self) {
        // Fails only for one that has ended and been waited for.
        let _ended = self.child.kill();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        // One that can't even be killed must not keep its test from saying so.
        self.killed_by(Instant::now() + END);
    }
}

/// A worker's life: calls `obey` with every order and prints what it returns, until the input ends.
pub fn serve(mut obey: impl FnMut(&str) -> Result<String, String>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before that.
    if getppid().is_none_or(|parent| parent.is_init()) {
        return Ok(());
    }
    for line in io::stdin().lock().lines() {
        let answer = obey(&line?).unwrap_or_else(|error| format!("failed: {error}"));
        println!("{}", answer.replace('\n', " "));
    }
    Ok(())
}
