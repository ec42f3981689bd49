//! What must hold in a simulated cluster at any time, one invariant a file. Each says what it protects.

mod answers_in_order;
mod commands_end;
mod departures_counted;
mod lease_ends_before_death;
mod no_split_brain;
mod numbers_unique;
mod one_leader_per_term;
mod one_view_per_epoch;
mod reads_are_fresh;
mod replicas_agree;

use std::fmt::Debug;
use std::sync::Arc;

use scios::NodeId;
use scios::cluster::View;

use crate::cluster::World;

/// What an invariant is shown.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A node has come to a view, at this very moment.
    View { node: NodeId, view: &'a Arc<View> },
    /// Something has happened somewhere.
    Step,
    /// The run is over, and all is well again.
    End,
}

pub trait Invariant: Debug {
    fn name(&self) -> &'static str;

    /// Says what is wrong, if something is.
    fn look(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), String>;
}

/// A fresh one of each.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(one_view_per_epoch::OneViewPerEpoch::default()),
        Box::new(one_leader_per_term::OneLeaderPerTerm::default()),
        Box::new(no_split_brain::NoSplitBrain),
        Box::new(lease_ends_before_death::LeaseEndsBeforeDeath::default()),
        Box::new(numbers_unique::NumbersUnique::default()),
        Box::new(departures_counted::DeparturesCounted::default()),
        Box::new(reads_are_fresh::ReadsAreFresh),
        Box::new(replicas_agree::ReplicasAgree),
        Box::new(commands_end::CommandsEnd),
        Box::new(answers_in_order::AnswersInOrder),
    ]
}
