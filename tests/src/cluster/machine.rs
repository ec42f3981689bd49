//! The replicated machine of the simulated clusters: a list of commands, each answered with its place in it.
//!
//! It is small enough to see everything: whether a command was applied twice, whether two replicas differ at some
//! index, whether answers respect the order of time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use scios::cluster::Machine;

/// What replicas have said they were after each index, over all nodes of a run.
#[derive(Clone, Debug, Default)]
pub struct Histories(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    after: BTreeMap<u64, u64>,
    conflict: Option<String>,
}

impl Histories {
    /// The first disagreement between two replicas, if there was one.
    pub fn conflict(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).conflict.clone()
    }

    fn record(&self, index: u64, digest: u64) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *shared.after.entry(index).or_insert(digest);
        if known != digest && shared.conflict.is_none() {
            shared.conflict =
                Some(format!("after index {index} one replica is {known:x}, another {digest:x}"));
        }
    }
}

/// One replica.
#[derive(Clone, Debug)]
pub struct Places {
    commands: Vec<u64>,
    histories: Histories,
    /// Words of nothing that make the snapshot long.
    ballast: usize,
}

impl Places {
    pub fn new(histories: Histories, ballast: usize) -> Self {
        Self { commands: Vec::new(), histories, ballast }
    }

    /// Every command that was applied, in order.
    pub fn commands(&self) -> &[u64] {
        &self.commands
    }

    fn digest(&self) -> u64 {
        let fold = |hash: u64, command: &u64| (hash ^ command).wrapping_mul(0x100_0000_01b3).rotate_left(7);
        self.commands.iter().fold(0xcbf2_9ce4_8422_2325, fold)
    }
}

impl Machine for Places {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        let command = command.try_into().map_or(0, u64::from_le_bytes);
        self.commands.push(command);
        self.histories.record(index, self.digest());
        (self.commands.len() as u64).to_le_bytes().to_vec()
    }

    fn snapshot(&self) -> Vec<u8> {
        let nothing = std::iter::repeat_n(&0, self.ballast);
        self.commands.iter().chain(nothing).flat_map(|c| c.to_le_bytes()).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        if !snapshot.len().is_multiple_of(8) {
            return Err(format!("{} bytes are not a list of commands", snapshot.len()));
        }
        let command = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        self.commands = snapshot.chunks_exact(8).map(command).filter(|c| *c != 0).collect();
        Ok(())
    }
}
