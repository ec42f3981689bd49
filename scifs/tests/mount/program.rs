//! Processes that work with files of a mount, each told what to do, and waited for no longer than a test wants to wait. They are
//! killed when a test ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Program {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
    mountpoint: PathBuf,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok(String),
    Errno(i32),
    /// The program died of this signal.
    Died(i32),
    /// None within the time.
    Nothing,
}

pub(crate) const EBADF: Answer = Answer::Errno(9);
pub(crate) const EINVAL: Answer = Answer::Errno(22);
pub(crate) const ENOTTY: Answer = Answer::Errno(25);
pub(crate) const ETIMEDOUT: Answer = Answer::Errno(110);
pub(crate) const EIO: Answer = Answer::Errno(5);
pub(crate) const EINTR: Answer = Answer::Errno(4);
pub(crate) const ENOSPC: Answer = Answer::Errno(28);
pub(crate) const EAGAIN: Answer = Answer::Errno(11);
pub(crate) const EDEADLK: Answer = Answer::Errno(35);
pub(crate) const SIGBUS: Answer = Answer::Died(7);

pub(crate) fn value(value: impl ToString) -> Answer {
    Answer::Ok(value.to_string())
}

impl Program {
    pub(crate) fn start(mountpoint: &Path) -> Self {
        let mut child = Command::new("python3")
            .args([
                "-c",
                &format!("{}{}serve()", include_str!("program.py"), include_str!("../vm/sharing.py")),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { child, orders, answers, mountpoint: mountpoint.into() }
    }

    pub(crate) fn begin(&mut self, order: &str) {
        // One that has died is noticed by who waits for its answer.
        let _ = writeln!(self.orders, "{order}");
    }

    pub(crate) fn answer(&mut self, within: Duration) -> Answer {
        match self.answers.recv_timeout(within) {
            Ok(line) => match line.split_once(' ') {
                Some(("errno", number)) => Answer::Errno(number.parse().unwrap()),
                Some(("ok", value)) => Answer::Ok(value.into()),
                _ => panic!("a program said {line:?}"),
            },
            Err(RecvTimeoutError::Timeout) => Answer::Nothing,
            Err(RecvTimeoutError::Disconnected) => {
                Answer::Died(self.child.wait().unwrap().signal().unwrap_or_default())
            }
        }
    }

    pub(crate) fn ask(&mut self, order: &str) -> Answer {
        self.begin(order);
        self.answer(PATIENCE)
    }

    /// An order that succeeds.
    pub(crate) fn get(&mut self, order: &str) -> String {
        match self.ask(order) {
            Answer::Ok(value) => value,
            other => panic!("{order}: {other:?}"),
        }
    }

    /// Opens a file of the mount under a name, for reading and writing.
    pub(crate) fn open(&mut self, name: &str) {
        self.open_as(name, "rw");
    }

    pub(crate) fn open_as(&mut self, name: &str, how: &str) {
        let path = self.mountpoint.join(name);
        self.get(&format!("open {name} {} {how}", path.display()));
    }

    /// Begins an order and waits until the program waits in the kernel for the mount's answer.
    pub(crate) fn begin_waiting(&mut self, order: &str) {
        self.begin(order);
        let deadline = Instant::now() + PATIENCE;
        let wchan = format!("/proc/{}/wchan", self.child.id());
        while !std::fs::read_to_string(&wchan).is_ok_and(|wchan| wchan.contains("request_wait")) {
            assert!(Instant::now() < deadline, "{order} doesn't wait: {:?}", self.answer(Duration::ZERO));
            std::thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it; whether it was gone in time.
    pub(crate) fn kill(&mut self) -> bool {
        let _ = self.child.kill();
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that doesn't die waits for a mount that is taken away right after.
        let _ = self.child.kill();
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.child.try_wait().is_ok_and(|end| end.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
