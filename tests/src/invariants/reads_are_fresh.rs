//! A leader that says so answers from its own replica: nobody has seen a command applied that it hasn't.

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug)]
pub(super) struct ReadsAreFresh;

impl Invariant for ReadsAreFresh {
    fn name(&self) -> &'static str {
        "reads_are_fresh"
    }

    fn look(&mut self, world: &World, _seen: &Seen<'_>) -> Result<(), String> {
        let newest =
            world.nodes.iter().filter(|n| !n.crashed).map(|n| n.cluster.applied()).max().unwrap_or(0);
        for leader in world.nodes.iter().filter(|n| !n.crashed && n.cluster.leads()) {
            let applied = leader.cluster.applied();
            if applied < newest {
                return Err(format!(
                    "{} would answer as of {applied}, and somebody has seen {newest}\n{}",
                    leader.id,
                    world.describe()
                ));
            }
        }
        Ok(())
    }
}
