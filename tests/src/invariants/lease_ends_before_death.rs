//! Whoever was declared dead, or was let go, doesn't believe any more that it may act: neither at the moment when the
//! first node learns that it was removed, nor ever after. What it held can be given to others.

use std::collections::BTreeMap;
use std::sync::Arc;

use scios::NodeId;
use scios::cluster::View;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug, Default)]
pub(super) struct LeaseEndsBeforeDeath {
    newest: Option<Arc<View>>,
    /// By whom it was first seen.
    removed: BTreeMap<NodeId, NodeId>,
}

impl Invariant for LeaseEndsBeforeDeath {
    fn name(&self) -> &'static str {
        "lease_ends_before_death"
    }

    fn look(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::View { node, view } = seen
            && self.newest.as_ref().is_none_or(|newest| newest.epoch < view.epoch)
        {
            let before = self.newest.replace(Arc::clone(view));
            let before = before.iter().flat_map(|newest| newest.members());
            self.removed.extend(before.filter(|m| !view.contains(m.id)).map(|m| (m.id, *node)));
        }
        for node in world.nodes.iter().filter(|n| n.may_act()) {
            if let Some(witness) = self.removed.get(&node.id) {
                return Err(format!(
                    "{} was removed ({witness} says) and still holds a lease\n{}",
                    node.id,
                    world.describe()
                ));
            }
        }
        Ok(())
    }
}
