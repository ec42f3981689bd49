//! Replicas that have applied the same number of entries are the same, and a command is applied once.

use std::collections::BTreeSet;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug)]
pub(super) struct ReplicasAgree;

impl Invariant for ReplicasAgree {
    fn name(&self) -> &'static str {
        "replicas_agree"
    }

    fn look(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), String> {
        if let Some(conflict) = world.journal.histories.conflict() {
            return Err(conflict);
        }
        if !matches!(seen, Seen::End) {
            return Ok(());
        }
        for node in world.nodes.iter().filter(|n| n.is_live()) {
            let commands = node.cluster.with(|c| c.machine().commands().to_vec());
            let different: BTreeSet<_> = commands.iter().collect();
            if different.len() != commands.len() {
                return Err(format!("{} applied a command twice: {commands:?}", node.id));
            }
        }
        Ok(())
    }
}
