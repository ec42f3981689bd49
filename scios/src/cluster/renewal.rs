//! Leases at work: members renew, the leader grants, voters confirm the leader. `LEASES.md` says why it is safe.

use super::api::Effect;
use super::core::{Cluster, Phase};
use super::state::Machine;
use super::wire::{Announcement, Contact, Seen, Talk};
use crate::limits::DIALS_PER_TICK_MAX;
use crate::{Epoch, Nanos, NodeId};

/// After so many renewals without an answer, others are asked who leads.
const UNANSWERED_MAX: u32 = 2;

impl<M: Machine> Cluster<M> {
    /// Prolongs this node's own lease: by itself where it leads, otherwise by asking.
    pub(super) fn renew(&mut self, now: Nanos) {
        let Some(consensus) = &self.consensus else { return };
        if now < self.next_renew {
            return;
        }
        let timing = self.config.timing;
        if consensus.leads() {
            if consensus.leads_informed() && self.authority.holds(now, consensus.term()) {
                self.next_renew = now + timing.renew;
                self.announcements.hear(self.announcement());
                self.lease.ask(now);
                self.grant_to_self(now);
            }
            return;
        }
        self.next_renew = now + if self.unanswered == 0 { timing.renew } else { timing.retry() };
        self.unanswered = self.unanswered.saturating_add(1);
        if let Some(to) = self.whom_to_ask() {
            self.lease.ask(now);
            self.send(to, Talk::Renew { asked: now, free: self.free, load: self.load, seen: self.seen });
        }
    }

    fn announcement(&self) -> Announcement {
        Announcement { member: self.config.id, free: self.free, load: self.load }
    }

    fn grant_to_self(&mut self, now: Nanos) {
        if self.lease.granted(now, &self.config.timing) {
            self.effects.push(Effect::Lease { until: self.lease.until() });
        }
    }

    /// The leader, as long as it answers; otherwise everybody in turn.
    fn whom_to_ask(&mut self) -> Option<NodeId> {
        let leader = self.consensus.as_ref().and_then(|c| c.leader());
        if let Some(leader) = leader.filter(|id| self.up.contains(id) && *id != self.config.id)
            && self.unanswered <= UNANSWERED_MAX
        {
            return Some(leader);
        }
        self.rotation = self.rotation.wrapping_add(1);
        self.up.iter().nth(self.rotation % self.up.len().max(1)).copied()
    }

    /// A member asks this node to prolong its lease.
    pub(super) fn renewed(&mut self, now: Nanos, from: NodeId, asked: Nanos, has: (u64, u32), seen: Seen) {
        let Some(consensus) = &self.consensus else { return };
        if !consensus.leads() {
            let leader = consensus.leader().filter(|id| *id != from);
            let leader = leader.and_then(|id| self.state.view().member(id));
            let leader = leader.map(|m| Contact { id: m.id, address: m.address.clone() });
            return self.send(from, Talk::NotLeader { leader });
        }
        let member = self.state.view().member(from).filter(|_| !self.watch.is_condemned(from));
        let leaving = member.is_some_and(|m| m.leaving);
        let known = member.is_some();
        if known {
            self.watch.hear(now, from);
        }
        // Before it has applied all that was committed, a leader doesn't know whom it may grant a lease; and unless a
        // quorum has stood by it just now, somebody else may lead.
        if !consensus.leads_informed() || !self.authority.holds(now, consensus.term()) {
            return;
        }
        if !known {
            let epoch = self.state.view().epoch;
            // The condemned are told once they are buried.
            if !self.state.view().contains(from) {
                self.send(from, Talk::Expelled { epoch });
            }
            return;
        }
        if !leaving {
            self.announcements.hear(Announcement { member: from, free: has.0, load: has.1 });
            let (seen, announcements) = self.announcements.since(seen);
            self.send(from, Talk::Granted { asked, seen, announcements });
        }
    }

    pub(super) fn granted(
        &mut self,
        now: Nanos,
        from: NodeId,
        asked: Nanos,
        seen: Seen,
        announcements: Vec<Announcement>,
    ) {
        // Who grants leases hears of this node; but it must not act before it knows the state.
        if !self.state.view().contains(self.config.id) {
            self.unanswered = 0;
            return;
        }
        if asked > now || !self.lease.granted(asked, &self.config.timing) {
            return;
        }
        tracing::trace!(leader = %from, until = %self.lease.until(), "lease");
        self.unanswered = 0;
        self.seen = seen;
        announcements.into_iter().for_each(|a| self.announcements.hear(a));
        self.effects.push(Effect::Lease { until: self.lease.until() });
    }

    pub(super) fn redirected(&mut self, now: Nanos, leader: Option<Contact>) {
        let Some(leader) = leader.filter(|l| l.id != self.config.id && !self.state.was_removed(l.id)) else {
            return;
        };
        if self.up.contains(&leader.id) {
            // Asked at once only when it isn't what this node believes anyway.
            if self.unanswered > UNANSWERED_MAX {
                self.lease.ask(now);
                self.send(
                    leader.id,
                    Talk::Renew { asked: now, free: self.free, load: self.load, seen: self.seen },
                );
            }
        } else if !self.is_member_or_contact(leader.id) && self.contacts.len() < DIALS_PER_TICK_MAX {
            self.contacts.push(leader);
        }
    }

    /// A leader wants to know whether it still is one: this node stands by it, for a while.
    pub(super) fn asked_to_confirm(&mut self, now: Nanos, from: NodeId, term: u64, asked: Nanos) {
        let Some(consensus) = &self.consensus else { return };
        if consensus.term() == term && consensus.leader() == Some(from) {
            self.promise.give(now, term, &self.config.timing);
            self.send(from, Talk::Confirmed { term, asked });
        }
    }

    pub(super) fn confirmed(&mut self, now: Nanos, from: NodeId, term: u64, asked: Nanos) {
        let Some(consensus) = self.consensus.as_ref().filter(|c| c.leads() && c.term() == term) else {
            return;
        };
        if asked <= now {
            let quorum =
                |nodes: &std::collections::BTreeSet<NodeId>| consensus.is_quorum(nodes.iter().copied());
            self.authority.confirm(from, asked, &self.config.timing, quorum);
        }
    }

    /// A leader asks its voters, itself included, to stand by it.
    pub(super) fn ask_to_confirm(&mut self, now: Nanos) {
        let Some(consensus) = &self.consensus else { return };
        if !self.authority.is_due(now) {
            return;
        }
        let (term, me, timing) = (consensus.term(), self.config.id, self.config.timing);
        self.authority.asked(now, &timing);
        self.promise.give(now, term, &timing);
        let quorum = |nodes: &std::collections::BTreeSet<NodeId>| consensus.is_quorum(nodes.iter().copied());
        self.authority.confirm(me, now, &timing, quorum);
        let conf = consensus.conf();
        let voters: Vec<NodeId> =
            conf.voters.iter().chain(&conf.voters_outgoing).filter_map(|id| NodeId::new(*id)).collect();
        for voter in voters {
            if voter != me && self.up.contains(&voter) {
                self.send(voter, Talk::Confirm { term, asked: now });
            }
        }
    }

    /// Somebody of this cluster says that this node was removed. Nobody says so who doesn't know.
    pub(super) fn told_expelled(&mut self, from: NodeId, epoch: Epoch) {
        if epoch < self.state.view().epoch {
            return;
        }
        tracing::info!(peer = %from, %epoch, "told that this node was removed");
        match self.phase {
            Phase::Leaving { .. } => self.left(),
            _ => self.expelled("it was not heard of in time, so the others went on without it"),
        }
    }

    fn is_member_or_contact(&self, id: NodeId) -> bool {
        self.state.view().contains(id) || self.contacts.iter().any(|c| c.id == id)
    }
}
