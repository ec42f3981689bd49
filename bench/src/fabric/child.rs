//! The other end, in a process of its own that ends with this one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::BenchError;
use super::program::Program;
use crate::mode::Mode;

pub(super) struct Child {
    process: std::process::Child,
    pub(super) address: String,
}

impl Child {
    pub(super) fn start(program: Program, mode: Mode) -> Result<Self, BenchError> {
        let binary = std::env::current_exe().map_err(BenchError::Spawn)?;
        let mut command = Command::new(binary);
        command.args(["serve", program.name(), mode.name()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Self { process: command.spawn().map_err(BenchError::Spawn)?, address: String::new() };
        let mut said = String::new();
        if let Some(out) = child.process.stdout.take() {
            BufReader::new(out).read_line(&mut said).map_err(BenchError::Spawn)?;
        }
        let address = said.strip_prefix("ready ").map(|address| address.trim().to_owned());
        child.address = address.ok_or(BenchError::Child(said))?;
        Ok(child)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
