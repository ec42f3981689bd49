//! Nodes in processes of their own: the binary `peer`, started with what it needs to know, ended with the case.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use scios::verbs::FabricConfig;

use crate::conformance::world::Process;

pub(super) struct Child {
    child: Mutex<std::process::Child>,
    pid: Pid,
    address: String,
}

impl Child {
    /// Starts `peer FABRIC ID LISTEN LIVENESS_MS [SECRET]`, which prints its address when it serves. It ends with its
    /// input, so it can't outlive this process, whatever happens to it.
    pub(super) fn start(fabric: &str, config: &FabricConfig) -> Self {
        let mut command = Command::new(binary());
        command.args([fabric, &config.id.get().to_string(), &config.listen]);
        command.arg(config.liveness_timeout_ms.to_string());
        if let Some(secret) = &config.secret {
            command.arg(std::str::from_utf8(secret.bytes()).expect("the suite's secrets are text"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start peer");
        let pid = Pid::from_child(&child);
        let mut address = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut address).expect("read the peer's address");
        let address = address.trim().to_string();
        let child = Self { child: Mutex::new(child), pid, address };
        assert!(!child.address.is_empty(), "the peer process did not start");
        child
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("signal the peer process");
    }
}

/// Beside the running test: `cargo test` puts tests into `deps`, one level below the binaries.
fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let near = this.ancestors().skip(1).take(2).map(|folder| folder.join("peer"));
    let found = near.into_iter().find(|path| path.exists());
    found.expect("the binary `peer` beside this one; build it with: cargo build -p scifs-tests --bins")
}

impl Process for Child {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn kill(&self) {
        let mut child = self.child.lock();
        child.kill().expect("kill the peer process");
        child.wait().expect("wait for the peer process");
    }

    fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    fn thaw(&self) {
        self.signal(Signal::CONT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        // Both fail only for one that has ended and been waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer process at {}", self.address)
    }
}
