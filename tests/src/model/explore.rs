//! Visits every state that a small cluster can get into, depth first.
//!
//! A checker of our own, in a hundred lines, since it gives what the published ones don't: the path that is being explored
//! is known, so a state that leads back to itself is found, and its absence is the proof that every request ends (a
//! finite graph without cycles, in which every quiet state has answered everything). Visited states cost 8 bytes; no
//! state but those of the current path is kept.

use std::time::Instant;

use super::fingerprint::Fingerprints;
use super::invariants;
use super::violation::Violation;
use super::world::{Scope, Step, World};

#[derive(Clone, Debug)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    pub seconds: f64,
}

/// A violation and the way to it.
#[derive(Debug)]
pub struct Found {
    pub violation: Violation,
    pub path: Vec<Step>,
    pub states: usize,
}

struct Frame {
    world: World,
    fingerprint: u64,
    steps: Vec<Step>,
}

/// Explores a scope completely, or until the first violation.
pub fn explore(scope: &Scope, states_max: usize) -> Result<Explored, Box<Found>> {
    let started = Instant::now();
    let mut search = Search::default();
    let world = World::new(scope).map_err(|violation| search.found(violation))?;
    search.enter(scope, world)?;
    while let Some(frame) = search.path.last_mut() {
        let Some(step) = frame.steps.pop() else {
            search.leave();
            continue;
        };
        let mut world = frame.world.clone();
        search.taken.push(step);
        search.steps += 1;
        world.take(scope, step).map_err(|violation| search.found(violation))?;
        if search.visited.len() >= states_max {
            return Err(search.found(Violation::TooMany(states_max)));
        }
        if !search.enter(scope, world)? {
            search.taken.pop();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Explored { states: search.visited.len(), steps: search.steps, depth: search.depth, seconds })
}

#[derive(Default)]
struct Search {
    visited: Fingerprints,
    on_path: Fingerprints,
    path: Vec<Frame>,
    taken: Vec<Step>,
    steps: usize,
    depth: usize,
}

impl Search {
    /// Goes on from a state, unless it is known.
    fn enter(&mut self, scope: &Scope, world: World) -> Result<bool, Box<Found>> {
        let fingerprint = world.fingerprint();
        if self.on_path.contains(&fingerprint) {
            return Err(self.found(Violation::Cycle));
        }
        if !self.visited.insert(fingerprint) {
            return Ok(false);
        }
        invariants::check(&world.look()).map_err(|violation| self.found(violation))?;
        self.on_path.insert(fingerprint);
        let steps = world.steps(scope);
        self.path.push(Frame { world, fingerprint, steps });
        self.depth = self.depth.max(self.path.len());
        Ok(true)
    }

    fn leave(&mut self) {
        if let Some(frame) = self.path.pop() {
            self.on_path.remove(&frame.fingerprint);
            self.taken.pop();
        }
    }

    fn found(&self, violation: Violation) -> Box<Found> {
        Box::new(Found { violation, path: self.taken.clone(), states: self.visited.len() })
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} (after {} states), by these steps:", self.violation, self.states)?;
        self.path.iter().try_for_each(|step| writeln!(f, "  {step:?}"))
    }
}
