//! A member's number is its own for ever: people write it into scripts and logs.

use std::collections::BTreeMap;

use scios::NodeId;

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug, Default)]
pub(super) struct NumbersUnique {
    owners: BTreeMap<u32, NodeId>,
    numbers: BTreeMap<NodeId, u32>,
}

impl Invariant for NumbersUnique {
    fn name(&self) -> &'static str {
        "numbers_unique"
    }

    fn look(&mut self, _world: &World, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::View { view, .. } = seen else { return Ok(()) };
        for member in view.members() {
            let owner = *self.owners.entry(member.number).or_insert(member.id);
            let number = *self.numbers.entry(member.id).or_insert(member.number);
            if owner != member.id || number != member.number {
                return Err(format!(
                    "number {} was {owner}'s, now {}'s ({number})",
                    member.number, member.id
                ));
            }
        }
        Ok(())
    }
}
