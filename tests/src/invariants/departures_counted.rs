//! Whoever counts departures to tell old messages from new ones misses none: each removal is one, a reported break is one,
//! and nothing else is. A member joined when the views before it say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use scios::Epoch;
use scios::cluster::View;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug, Default)]
pub(super) struct DeparturesCounted {
    views: BTreeMap<Epoch, Arc<View>>,
}

impl Invariant for DeparturesCounted {
    fn name(&self) -> &'static str {
        "departures_counted"
    }

    fn look(&mut self, _world: &World, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::View { view, .. } = seen else { return Ok(()) };
        if self.views.insert(view.epoch, Arc::clone(view)).is_some() {
            return Ok(());
        }
        let beside = |epoch: u64| self.views.get(&Epoch(epoch));
        let before = beside(view.epoch.0 - 1).map_or(Ok(()), |before| follows(before, view));
        before.and(beside(view.epoch.0 + 1).map_or(Ok(()), |after| follows(view, after)))
    }
}

fn follows(before: &View, after: &View) -> Result<(), String> {
    let gone = before.members().filter(|m| !after.contains(m.id)).count() as u64;
    let mut came = after.members().filter(|m| !before.contains(m.id));
    let counted = after.departures - before.departures;
    let broken = counted == 1 && before.members().eq(after.members());
    if counted != gone && !broken {
        return Err(format!("{gone} departed and {counted} were counted between {before:?} and {after:?}"));
    }
    match came.find(|m| m.joined != before.departures) {
        Some(member) => Err(format!("{member:?} joined after {} departures", before.departures)),
        None => Ok(()),
    }
}
