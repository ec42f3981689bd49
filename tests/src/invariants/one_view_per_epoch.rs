//! An epoch names one list of members. Whoever checks a message by its epoch relies on that.

use std::collections::BTreeMap;
use std::sync::Arc;

use scios::cluster::View;
use scios::{Epoch, NodeId};

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug, Default)]
pub(super) struct OneViewPerEpoch {
    views: BTreeMap<Epoch, Arc<View>>,
    latest: BTreeMap<NodeId, Epoch>,
}

impl Invariant for OneViewPerEpoch {
    fn name(&self) -> &'static str {
        "one_view_per_epoch"
    }

    fn look(&mut self, _world: &World, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::View { node, view } = seen else { return Ok(()) };
        let known = self.views.entry(view.epoch).or_insert_with(|| Arc::clone(view));
        if *known != **view {
            return Err(format!("epoch {} has two views: {known:?} and, at {node}, {view:?}", view.epoch));
        }
        match self.latest.insert(*node, view.epoch) {
            Some(before) if before >= view.epoch => {
                Err(format!("{node} went from epoch {before} to {}", view.epoch))
            }
            _ => Ok(()),
        }
    }
}
