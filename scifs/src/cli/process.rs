//! Processes that are not our children: whether they still run, and the wait for their end.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A process, told from a later one of the same number by the time it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Process {
    pid: u32,
    /// As the kernel counts it, since boot.
    started_ticks: u64,
}

impl Process {
    /// The process of that number, if there is one that hasn't ended.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses can have anything in it.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started_ticks = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started_ticks })
    }

    pub(super) fn pid(self) -> u32 {
        self.pid
    }

    pub(super) fn runs(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// True when it has ended within that time.
    pub(super) fn wait(self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        let Some(pid) = self.number() else { return true };
        let Ok(file) = pidfd_open(pid, PidfdFlags::empty()) else { return !self.runs() };
        loop {
            if !self.runs() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&left)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return !self.runs(),
            }
        }
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(self, signal: Signal) {
        if let Some(pid) = self.number().filter(|_| self.runs()) {
            // It may end just now.
            let _ = kill_process(pid, signal);
        }
    }

    fn number(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_waited_for_and_not_mistaken_for_another() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.runs() && !process.wait(Duration::ZERO));
        let other = Process { started_ticks: process.started_ticks + 1, ..process };
        assert!(!other.runs() && other.wait(Duration::ZERO));
        process.signal(Signal::TERM);
        assert!(process.wait(Duration::from_secs(60)), "also before its parent has asked how it ended");
        child.wait().unwrap();
        assert_eq!(Process::of(child.id()), None);
    }
}
