//! What only the leader does: who votes, who is dead, who may go. And whom everybody keeps a connection to.

use super::api::Effect;
use super::changes::Change;
use super::command::{Body, Cause, Entry};
use super::consensus::Broken;
use super::core::{Cluster, Phase};
use super::state::Machine;
use super::view::View;
use crate::limits::{DIALS_PER_TICK_MAX, MEMBERS_MAX};
use crate::{Nanos, NodeId};

/// Learners that one change of the configuration adds or removes.
const CHANGES_MAX: usize = 64;

impl<M: Machine> Cluster<M> {
    pub(super) fn lead(&mut self, now: Nanos) -> Result<(), Broken> {
        if !self.consensus.as_ref().is_some_and(|c| c.leads()) {
            return Ok(());
        }
        self.ask_to_confirm(now);
        if self.consensus.as_ref().is_some_and(|c| c.leads_informed()) && self.reconcile_due {
            self.reconcile_due = false;
            self.bury(now)?;
            self.reconcile(now)?;
        }
        Ok(())
    }

    /// Keeps the watch on exactly the other members.
    pub(super) fn watch_members(&mut self, now: Nanos, view: &View) {
        for member in view.members().filter(|m| m.id != self.config.id) {
            if self.watch.silent_for(now, member.id).is_none() {
                self.watch.hear(now, member.id);
            }
        }
        for id in self.watch.strangers(view) {
            self.watch.forget(id);
            self.announcements.forget(id);
        }
    }

    /// Declares dead who was silent for too long. Only a leader that a quorum stands by may judge: a silence may be its
    /// own fault. A voter first loses its vote: it may be alive and needed until that is decided, and ends itself when
    /// it learns that it was removed.
    fn bury(&mut self, now: Nanos) -> Result<(), Broken> {
        let Some(consensus) = self.consensus.as_ref().filter(|c| self.authority.holds(now, c.term())) else {
            return Ok(());
        };
        let overdue = self.watch.overdue(now, &self.config.timing);
        let dead: Vec<NodeId> = overdue.filter(|id| !consensus.votes(*id)).collect();
        for id in dead {
            let silent_ms = self.watch.silent_for(now, id).unwrap_or_default().as_millis() as u64;
            tracing::warn!(member = %id, silent_ms, "declared dead");
            if !self.remove(id, Cause::Dead)? {
                break;
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: NodeId, cause: Cause) -> Result<bool, Broken> {
        let Some(consensus) = &mut self.consensus else { return Ok(false) };
        let entry =
            Entry { proposer: self.config.id, sequence: 0, floor: 0, body: Body::Remove { id, cause } };
        let bytes = entry.encode().map_err(|e| Broken(e.to_string()))?;
        let appended = consensus.propose(bytes)?;
        if appended {
            self.watch.condemn(id);
        }
        Ok(appended)
    }

    /// Brings the configuration of the consensus into line with the members, one step at a time.
    fn reconcile(&mut self, now: Nanos) -> Result<(), Broken> {
        let voters = self.voters_wanted(now);
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        if consensus.is_changing() {
            return Ok(());
        }
        if consensus.is_joint() {
            return consensus.propose_change(&[]).map(|_| ());
        }
        let Some(consensus) = &self.consensus else { return Ok(()) };
        let mut changes = changes(consensus.conf(), self.state.view(), &voters);
        if !self.can_decide(now, &voters) {
            // The old voters may still come to a decision where the new ones could not.
            changes.retain(|change| !matches!(change, Change::Vote(_)) && !consensus.touches_voter(*change));
        }
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        if !changes.is_empty() {
            return consensus.propose_change(&changes).map(|_| ());
        }
        let view = self.state.view().clone();
        let gone =
            view.members().find(|m| m.leaving && !consensus.votes(m.id) && !self.watch.is_condemned(m.id));
        if let Some(member) = gone {
            return self.remove(member.id, Cause::Left).map(|_| ());
        }
        self.hand_over(now, &voters)
    }

    /// Who should vote. Those who do stay, the leader before others; the places that are left go by number, to
    /// members that have nearly all of the log. Always an odd number.
    fn voters_wanted(&self, now: Nanos) -> Vec<NodeId> {
        let Some(consensus) = &self.consensus else { return Vec::new() };
        let (view, me, timing) = (self.state.view(), self.config.id, self.config.timing);
        let judge = self.authority.holds(now, consensus.term());
        let dead = |id: NodeId| judge && self.watch.is_overdue(now, id, &timing);
        let staying = || view.members().filter(|m| !m.leaving && !dead(m.id));
        let places = places(staying().count(), view.voters_max);
        let voting = |id: NodeId| consensus.conf().voters.contains(&id.get());
        let leader = staying().filter(|m| m.id == me && voting(m.id));
        let voters = staying().filter(|m| m.id != me && voting(m.id));
        let able = staying().filter(|m| !voting(m.id) && self.answers(now, m.id) && consensus.is_close(m.id));
        let mut wanted: Vec<NodeId> = leader.chain(voters).chain(able).map(|m| m.id).take(places).collect();
        if wanted.len() == 2 || wanted.len() == 4 {
            wanted.pop();
        }
        if wanted.is_empty() {
            wanted = consensus.conf().voters.iter().filter_map(|id| NodeId::new(*id)).collect();
        }
        // A leader that leaves stays a voter until another one has taken over.
        if !wanted.contains(&me) {
            wanted.push(me);
        }
        wanted
    }

    /// Whether a majority of these nodes answers at this moment. A configuration that can't decide can't be left
    /// either, so none must be entered whose majority may be gone.
    fn can_decide(&self, now: Nanos, voters: &[NodeId]) -> bool {
        voters.iter().filter(|id| self.answers(now, **id)).count() > voters.len() / 2
    }

    fn answers(&self, now: Nanos, id: NodeId) -> bool {
        let Some(consensus) = &self.consensus else { return false };
        let timing = self.config.timing;
        if id == self.config.id {
            true
        } else if consensus.votes(id) && !self.authority.is_abdicated() {
            self.authority.confirmed_lately(now, id, &timing)
        } else {
            self.up.contains(&id) && self.watch.silent_for(now, id).is_some_and(|s| s < timing.failure / 2)
        }
    }

    /// A leader that leaves gives its place to the voter that is furthest.
    fn hand_over(&mut self, now: Nanos, voters: &[NodeId]) -> Result<(), Broken> {
        let me = self.config.id;
        let leaving = self.state.view().member(me).is_some_and(|m| m.leaving);
        if !leaving || now < self.next_transfer {
            return Ok(());
        }
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        let staying = |id: &NodeId| self.state.view().member(*id).is_some_and(|m| !m.leaving);
        let able = |id: &NodeId| *id != me && self.up.contains(id) && consensus.votes(*id) && staying(id);
        let others = voters.iter().copied().filter(able);
        let next = others.max_by_key(|id| consensus.matched(*id));
        if let Some(next) = next {
            self.next_transfer = now + self.config.timing.renew;
            self.authority.abdicate();
            consensus.transfer(next)?;
        }
        Ok(())
    }

    /// Keeps a connection to a member, for the layers above.
    pub(super) fn reach(&mut self, now: Nanos, peer: NodeId) {
        if self.state.view().contains(peer) && self.reached.insert(peer) {
            self.dial(now);
        }
    }

    /// Connects to whom this node needs: newcomers to the members they were told of, members to the voters and to whom
    /// the layers above talk to, the leader to everybody, and who has lost the leader to everybody in turn.
    pub(super) fn dial(&mut self, now: Nanos) {
        if self.dialed.len() > 2 * MEMBERS_MAX {
            self.dialed.clear();
        }
        let mut wanted: Vec<String> = Vec::new();
        match &self.phase {
            Phase::Joining(_) => {
                wanted.extend(self.config.join.iter().cloned());
            }
            Phase::Member | Phase::Leaving { .. } => self.members_to_dial(now, &mut wanted),
            Phase::Ended(_) => {}
        }
        let retry = self.config.timing.retry();
        let mut left = DIALS_PER_TICK_MAX;
        for address in wanted {
            let due = self.dialed.get(&address).is_none_or(|at| now >= *at + retry);
            if due && left > 0 && address != self.config.address {
                left -= 1;
                self.dialed.insert(address.clone(), now);
                self.effects.push(Effect::Connect { address });
            }
        }
    }

    fn members_to_dial(&mut self, now: Nanos, wanted: &mut Vec<String>) {
        let Some(consensus) = &self.consensus else { return };
        let view = self.state.view();
        let absent = |id: NodeId| id != self.config.id && !self.up.contains(&id);
        for contact in self.contacts.iter().filter(|c| absent(c.id)) {
            wanted.push(contact.address.clone());
        }
        let voters =
            consensus.conf().voters.iter().filter_map(|id| NodeId::new(*id)).chain(consensus.leader());
        for member in voters
            .chain(self.reached.iter().copied())
            .filter_map(|id| view.member(id))
            .filter(|m| absent(m.id))
        {
            wanted.push(member.address.clone());
        }
        if consensus.leads() || !self.lease.holds(now) {
            let others: Vec<_> = view.members().filter(|m| absent(m.id)).map(|m| m.address.clone()).collect();
            let start = self.rotation.wrapping_mul(DIALS_PER_TICK_MAX) % others.len().max(1);
            self.rotation = self.rotation.wrapping_add(1);
            wanted.extend(others.iter().cycle().skip(start).take(others.len()).cloned());
        }
        // Nobody it knows answers: they may all have gone while it was cut off.
        if !self.lease.holds(now) {
            wanted.extend(self.config.join.iter().cloned());
        }
    }
}

/// How many of so many members vote: always an odd number.
pub(super) fn places(members: usize, voters_max: u8) -> usize {
    match members.min(usize::from(voters_max)) {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
}

/// What turns the present configuration into the wanted one. Voters change together, learners a bounded number at a
/// time.
fn changes(conf: &raft::eraftpb::ConfState, view: &View, voters: &[NodeId]) -> Vec<Change> {
    let votes = |id: NodeId| conf.voters.contains(&id.get());
    let mut changes: Vec<Change> =
        voters.iter().filter(|id| !votes(**id)).map(|id| Change::Vote(*id)).collect();
    for id in conf.voters.iter().filter_map(|id| NodeId::new(*id)).filter(|id| !voters.contains(id)) {
        changes.push(if view.contains(id) { Change::Learn(id) } else { Change::Remove(id) });
    }
    let known: std::collections::BTreeSet<u64> = conf.voters.iter().chain(&conf.learners).copied().collect();
    let new = view.members().filter(|m| !known.contains(&m.id.get()) && !voters.contains(&m.id));
    let learn = new.map(|m| Change::Learn(m.id));
    let gone = conf.learners.iter().filter_map(|id| NodeId::new(*id)).filter(|id| !view.contains(*id));
    changes.extend(learn.chain(gone.map(Change::Remove)).take(CHANGES_MAX));
    changes
}
