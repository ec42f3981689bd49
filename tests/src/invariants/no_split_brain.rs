//! At any moment at most one node believes, with a quorum behind it, that it leads. It alone grants leases.

use scios::verbs::Fabric;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug)]
pub(super) struct NoSplitBrain;

impl Invariant for NoSplitBrain {
    fn name(&self) -> &'static str {
        "no_split_brain"
    }

    fn look(&mut self, world: &World, _seen: &Seen<'_>) -> Result<(), String> {
        let leads = |n: &&crate::cluster::SimNode| {
            !n.crashed && n.cluster.with(|c| c.leading().is_some() && c.has_authority(n.fabric.now()))
        };
        let leaders: Vec<_> = world.nodes.iter().filter(leads).map(|n| n.id).collect();
        if leaders.len() > 1 {
            return Err(format!("{leaders:?} all have authority\n{}", world.describe()));
        }
        Ok(())
    }
}
