//! What happens to a cluster, drawn from the seed: partitions, one-way cuts, crashes, restarts, pauses, bad clocks,
//! nodes that come and go, and commands in the midst of it.
//!
//! One thing never happens: that more voters are lost for good than a quorum survives. Nothing can bring back what
//! only they knew.

use std::time::Duration;

use scios::NodeId;
use scios::verbs::Fabric;

use super::run::Failure;
use super::{SimNode, World};
use crate::invariants::Seen;

/// The course of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: usize,
    /// How long faults go on.
    pub trouble: Duration,
    /// A fault comes every so often, on average.
    pub every: Duration,
    /// More hosts than this never take part.
    pub nodes_max: usize,
}

/// Bounds on virtual time; generous, since each stands for "in bounded time".
const FORMING: u32 = 15;
const HEALING: u32 = 20;

impl World {
    /// Forms a cluster, troubles it, heals everything, and waits until it is one again.
    pub fn play(&mut self, plan: &Plan) -> Result<(), Failure> {
        let failure = self.setup.timing.failure;
        for _ in 0..plan.nodes {
            self.add();
        }
        if !self.run(failure * FORMING, |world| world.is_converged() && world.has_all_voters())? {
            return Err(self.failed("forms", "the nodes did not become one cluster"));
        }
        let end = self.net.now() + plan.trouble;
        while self.net.now() < end {
            self.fault(plan);
            let pause = self.chance.between(0, 2 * plan.every.as_micros() as u64);
            self.run(Duration::from_micros(pause), |_| false)?;
            self.restart_ended();
        }
        self.note(|| "all is healed".into());
        self.heal();
        let deadline = self.net.now() + failure * HEALING;
        while self.net.now() < deadline && !self.is_converged() {
            self.step()?;
            self.restart_ended();
        }
        if !self.is_converged() {
            return Err(
                self.failed("converges_after_heal", "no single view of the live nodes in bounded time")
            );
        }
        // Whoever waits for a command has been answered by then.
        self.run(COMMAND_TIMEOUT * 2, |_| false)?;
        self.look(&Seen::End)
    }

    fn failed(&self, invariant: &'static str, what: &str) -> Failure {
        Failure { invariant, at: self.net.now(), what: format!("{what}:\n{}", self.describe()) }
    }

    fn fault(&mut self, plan: &Plan) {
        match self.chance.between(0, 100) {
            0..16 => self.split(),
            16..26 => self.cut_one_way(),
            26..42 => self.net.heal(),
            42..54 => self.crash_one(),
            54..62 => self.restart_crashed(),
            62..70 => self.pause_one(),
            70..78 => self.resume_one(),
            78..82 => self.bend_a_clock(),
            82..86 => self.leave_one(),
            86 => self.report_a_break(),
            87..90 if self.nodes.len() < plan.nodes_max => {
                self.add();
            }
            _ => self.command(),
        }
    }

    fn heal(&mut self) {
        self.net.heal();
        for at in 0..self.nodes.len() {
            if self.nodes[at].paused {
                self.resume(at);
            }
            if self.nodes[at].crashed {
                self.restart(at);
            }
        }
    }

    /// Two groups that don't hear each other.
    fn split(&mut self) {
        let sides = self.chance.draw();
        let ids = |side: u64| -> Vec<NodeId> {
            let here = self.nodes.iter().enumerate().filter(|(i, _)| (sides >> (i % 64)) & 1 == side);
            here.map(|(_, n)| n.id).collect()
        };
        let (some, others) = (ids(0), ids(1));
        self.note(|| format!("cut between {some:?} and {others:?}"));
        self.net.partition(&some, &others);
    }

    fn cut_one_way(&mut self) {
        let (from, to) = (self.pick(), self.pick());
        let (from, to) = (self.nodes[from].id, self.nodes[to].id);
        self.note(|| format!("nothing gets from {from} to {to}"));
        self.net.partition_one_way(&[from], &[to]);
    }

    fn pick(&mut self) -> usize {
        self.chance.between(0, self.nodes.len() as u64) as usize
    }

    fn crash_one(&mut self) {
        let at = self.pick();
        if self.nodes[at].crashed || !self.can_lose(at) {
            return;
        }
        self.crash(self.nodes[at].id);
        if self.chance.one_in(3) {
            self.restart(at);
        }
    }

    /// Whether every configuration that any node goes by, this one too, keeps its quorum without it. Nobody can say so
    /// while the voters are changing, or where nobody leads.
    fn can_lose(&self, at: usize) -> bool {
        let left =
            |id: &NodeId| self.nodes.iter().enumerate().any(|(i, n)| n.id == *id && i != at && n.is_live());
        let quorum = |voters: &[NodeId]| voters.iter().filter(|id| left(id)).count() > voters.len() / 2;
        let leader = |n: &&SimNode| n.is_live() && n.cluster.with(|c| c.has_authority(n.fabric.now()));
        self.nodes.iter().any(|n| leader(&n))
            && self.nodes.iter().filter(|n| n.is_live()).all(|n| {
                let status = n.cluster.status();
                let known = status.voters.is_empty() || quorum(&status.voters);
                known && status.voters_outgoing.is_empty() && !status.voters_changing
            })
            && self.last_crash.is_none_or(|at| self.net.now() > at + CRASHES_APART)
    }

    fn restart_crashed(&mut self) {
        if let Some(at) = self.nodes.iter().position(|n| n.crashed) {
            self.restart(at);
        }
    }

    /// A node that was removed comes back, as its operator would have it. One that left stays away.
    fn restart_ended(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if !node.crashed && !node.leaving && node.end().is_some() {
                self.restart(at);
            }
        }
    }

    fn pause_one(&mut self) {
        let at = self.pick();
        if self.nodes[at].crashed {
            return;
        }
        let id = self.nodes[at].id;
        self.note(|| format!("{id} stops"));
        self.net.pause(id);
        self.nodes[at].paused = true;
    }

    fn resume_one(&mut self) {
        if let Some(at) = self.nodes.iter().position(|n| n.paused) {
            self.resume(at);
        }
    }

    fn resume(&mut self, at: usize) {
        let id = self.nodes[at].id;
        self.note(|| format!("{id} goes on"));
        self.net.resume(id);
        self.nodes[at].paused = false;
    }

    /// As bad as clocks may be.
    fn bend_a_clock(&mut self) {
        let at = self.pick();
        let ppm = self.chance.between(0, 200_001) as i64 - 100_000;
        self.net.set_drift(self.nodes[at].id, ppm);
    }

    fn leave_one(&mut self) {
        let at = self.pick();
        let staying = self.nodes.iter().filter(|n| n.may_act() && !n.leaving).count();
        let node = &self.nodes[at];
        if !node.is_live() || node.paused || node.leaving || staying < 4 || !node.cluster.may_act() {
            return;
        }
        self.note(|| format!("{} leaves", self.nodes[at].id));
        self.nodes[at].leaving = true;
        self.nodes[at].cluster.leave(None);
    }

    /// Somebody noticed that messages were lost, perhaps in the time of an earlier view.
    fn report_a_break(&mut self) {
        let at = self.pick();
        let departures = self.nodes[at].cluster.view().departures;
        let late = self.chance.between(0, 2).min(departures);
        self.nodes[at].cluster.report_break(departures - late);
    }

    fn command(&mut self) {
        let at = self.pick();
        if self.nodes[at].is_live() && !self.nodes[at].paused {
            self.nodes[at].propose(self.next_command, COMMAND_TIMEOUT);
            self.next_command += 1;
        }
    }
}

/// A leader has noticed one loss when the next one comes.
const CRASHES_APART: Duration = Duration::from_millis(500);

pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(1500);
