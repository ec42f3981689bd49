//! The stages of a node's membership: how it ends, and what can be seen of it at any time.

use std::sync::Arc;

use super::api::{Effect, Input, JoinError, Standing};
use super::command::Body;
use super::consensus::Consensus;
use super::core::{Cluster, Phase};
use super::proposals::{ProposeError, Waiter};
use super::state::Machine;
use super::view::View;
use crate::{Nanos, NodeId};

impl<M: Machine> Cluster<M> {
    /// The view doesn't have this node any more.
    pub(super) fn removed(&mut self) {
        match self.phase {
            Phase::Leaving { .. } => self.left(),
            _ => self.expelled("it was not heard of in time, so the others went on without it"),
        }
    }

    pub(super) fn left(&mut self) {
        self.end(Standing::Left, Effect::Left { orderly: true });
    }

    pub(super) fn expelled(&mut self, why: &str) {
        let why =
            format!("this node was removed from the cluster: {why}; it has to join again as a new node");
        self.end(Standing::Expelled, Effect::Expelled { why });
    }

    /// At once and without asking anybody: the others notice that it is silent, as if it had crashed. A node that leaves
    /// hands over nothing more and needs no other end.
    pub(super) fn give_up(&mut self, why: &str) {
        if matches!(self.phase, Phase::Member | Phase::Joining(_)) {
            let why = format!(
                "this node gave its place in the cluster up: {why}; it has to join again as a new node"
            );
            self.end(Standing::Expelled, Effect::Expelled { why });
        }
    }

    pub(super) fn join_failed(&mut self, why: JoinError) {
        self.end(Standing::Expelled, Effect::JoinFailed(why));
    }

    /// The end of this node's part: it acts no more, and everybody who waits is told.
    pub(super) fn end(&mut self, standing: Standing, effect: Effect) {
        if matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.phase = Phase::Ended(standing);
        self.consensus = None;
        self.lease.give_up();
        for waiter in self.proposals.take_all() {
            self.given_up(waiter, ProposeError::NotMember);
        }
        self.effects.push(Effect::Lease { until: Nanos::ZERO });
        self.effects.push(effect);
    }

    /// After the end: nothing happens, but nobody is left waiting.
    pub(super) fn refuse(&mut self, input: Input) {
        if let Input::Propose { token, .. } = input {
            self.given_up(Waiter::Caller(token), ProposeError::NotMember);
        }
    }

    pub(super) fn leave(&mut self, now: Nanos, handed_over_at: Option<u64>) {
        match self.phase {
            Phase::Member if self.state.view().len() > 1 => {
                self.lease.give_up();
                self.effects.push(Effect::Lease { until: Nanos::ZERO });
                let deadline = now + self.config.leave_timeout;
                self.propose(now, Waiter::Leaver, Body::Leave { handed_over_at }, deadline);
                self.phase = Phase::Leaving { deadline };
            }
            Phase::Member | Phase::Joining(_) => self.end(Standing::Left, Effect::Left { orderly: true }),
            Phase::Leaving { .. } | Phase::Ended(_) => {}
        }
    }

    /// Whether this node may act for the cluster now.
    pub fn standing(&self, now: Nanos) -> Standing {
        match &self.phase {
            Phase::Ended(standing) => *standing,
            Phase::Leaving { .. } => Standing::Leaving,
            Phase::Joining(_) => Standing::Joining,
            Phase::Member if self.lease.holds(now) => Standing::Serving,
            Phase::Member if self.lease.until() == Nanos::ZERO => Standing::Joining,
            Phase::Member => Standing::Isolated,
        }
    }

    pub(super) fn tell_standing(&mut self, now: Nanos) {
        let standing = self.standing(now);
        if self.told_standing != Some(standing) {
            self.told_standing = Some(standing);
            self.effects.push(Effect::Standing(standing));
        }
    }

    /// The newest view that this node has.
    pub fn view(&self) -> &Arc<View> {
        self.state.view()
    }

    /// The machine as it is after the last command that this node has applied.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    pub fn is_connected(&self, peer: NodeId) -> bool {
        self.up.contains(&peer)
    }

    /// The term in which this node leads, if it does as far as it knows.
    pub fn leading(&self) -> Option<u64> {
        self.consensus.as_ref().filter(|c| c.leads()).map(Consensus::term)
    }

    /// Whether it leads and a quorum has stood by it so lately that nobody else can.
    pub fn has_authority(&self, now: Nanos) -> bool {
        self.consensus.as_ref().is_some_and(|c| c.leads() && self.authority.holds(now, c.term()))
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.consensus.as_ref().and_then(Consensus::leader)
    }

    /// The index of the last log entry that the machine has seen.
    pub fn applied(&self) -> u64 {
        self.consensus.as_ref().map_or(0, Consensus::applied)
    }

    /// Until when, on its own clock, this node's machine has seen every command that has ended anywhere; zero if
    /// that can't be said. `LEASES.md`, "Reading at the leader".
    pub fn reads_until(&self) -> Nanos {
        let informed = self.consensus.as_ref().filter(|c| c.leads_informed());
        informed.map_or(Nanos::ZERO, |c| self.authority.until(c.term()))
    }

    /// Until when this node may act, on its own clock. Past or zero: it must not.
    pub fn lease_until(&self) -> Nanos {
        self.lease.until()
    }
}
