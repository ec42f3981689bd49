//! A term of the consensus has one leader, so its log has one writer.

use std::collections::BTreeMap;

use scios::NodeId;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug, Default)]
pub(super) struct OneLeaderPerTerm {
    leaders: BTreeMap<u64, NodeId>,
}

impl Invariant for OneLeaderPerTerm {
    fn name(&self) -> &'static str {
        "one_leader_per_term"
    }

    fn look(&mut self, world: &World, _seen: &Seen<'_>) -> Result<(), String> {
        for node in world.nodes.iter().filter(|n| !n.crashed) {
            let Some(term) = node.cluster.with(|c| c.leading()) else { continue };
            let leader = *self.leaders.entry(term).or_insert(node.id);
            if leader != node.id {
                return Err(format!("term {term} has two leaders: {leader} and {}", node.id));
            }
        }
        Ok(())
    }
}
