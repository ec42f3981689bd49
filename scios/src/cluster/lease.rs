//! The three clocks that keep two nodes from acting for one: a member's lease, a voter's promise, a leader's authority.
//! Why they suffice is argued in `LEASES.md`. All times are those of the node itself; none is ever compared with
//! another node's.

use std::collections::{BTreeMap, BTreeSet};

use super::timing::Timing;
use super::view::View;
use crate::{Nanos, NodeId};

/// A member's right to act. Renewed by the leader, and counted from the moment the renewal was *sent*.
#[derive(Debug, Default)]
pub(super) struct Lease {
    until: Nanos,
    /// When the renewals that may still be answered were sent; the oldest are forgotten.
    asked: std::collections::VecDeque<Nanos>,
    given_up: bool,
}

const ASKED_MAX: usize = 8;

impl Lease {
    pub(super) fn until(&self) -> Nanos {
        self.until
    }

    pub(super) fn holds(&self, now: Nanos) -> bool {
        now < self.until
    }

    pub(super) fn ask(&mut self, now: Nanos) {
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(now);
    }

    /// True when the answer was to a renewal of this node and prolongs the lease.
    pub(super) fn granted(&mut self, asked: Nanos, timing: &Timing) -> bool {
        let until = asked + timing.lease;
        let prolongs = !self.given_up && self.asked.contains(&asked) && until > self.until;
        if prolongs {
            self.until = until;
        }
        prolongs
    }

    /// Ends it at once and for ever.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
        self.until = Nanos::ZERO;
    }
}

/// A voter's word that it helps nobody but the leader it confirmed.
#[derive(Debug, Default)]
pub(super) struct Promise {
    until: Nanos,
    term: u64,
}

impl Promise {
    pub(super) fn give(&mut self, now: Nanos, term: u64, timing: &Timing) {
        self.until = self.until.max(now + timing.promise);
        self.term = term;
    }

    pub(super) fn binds(&self, now: Nanos) -> bool {
        now < self.until
    }

    /// Whether a vote for `term` may be cast: `handed_over` if the candidate was asked by the leader itself, which
    /// gave up its authority first.
    pub(super) fn allows(&self, now: Nanos, term: u64, handed_over: bool) -> bool {
        !self.binds(now) || (handed_over && term == self.term + 1)
    }

    /// The leader of `term` has asked this node to take over: it, and every leader before it, is done.
    pub(super) fn release(&mut self, term: u64) {
        if term >= self.term {
            self.until = Nanos::ZERO;
        }
    }
}

/// What a leader knows of being the leader still.
#[derive(Debug, Default)]
pub(super) struct Authority {
    term: u64,
    /// The latest question that each voter has confirmed.
    confirmed: BTreeMap<NodeId, Nanos>,
    next_ask: Nanos,
    until: Nanos,
    /// It has handed over in this term and doesn't come back.
    abdicated: bool,
}

impl Authority {
    /// Forgets everything of earlier terms.
    pub(super) fn enter(&mut self, term: u64) {
        if self.term != term {
            *self = Self { term, ..Self::default() };
        }
    }

    pub(super) fn abdicate(&mut self) {
        self.abdicated = true;
        self.until = Nanos::ZERO;
    }

    pub(super) fn is_abdicated(&self) -> bool {
        self.abdicated
    }

    pub(super) fn holds(&self, now: Nanos, term: u64) -> bool {
        now < self.until(term)
    }

    /// Until when a leader of `term` has it.
    pub(super) fn until(&self, term: u64) -> Nanos {
        if self.term == term { self.until } else { Nanos::ZERO }
    }

    /// Whether this voter stood by the leader just now.
    pub(super) fn confirmed_lately(&self, now: Nanos, voter: NodeId, timing: &Timing) -> bool {
        self.confirmed.get(&voter).is_some_and(|asked| *asked + timing.promise > now)
    }

    /// Whether it is time to ask the voters again.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        !self.abdicated && now >= self.next_ask
    }

    pub(super) fn asked(&mut self, now: Nanos, timing: &Timing) {
        self.next_ask = now + timing.confirm();
    }

    /// A voter (or this node) stands by the question asked at `asked`.
    pub(super) fn confirm(
        &mut self,
        voter: NodeId,
        asked: Nanos,
        timing: &Timing,
        is_quorum: impl Fn(&BTreeSet<NodeId>) -> bool,
    ) {
        if self.abdicated {
            return;
        }
        let latest = self.confirmed.entry(voter).or_insert(asked);
        *latest = asked.max(*latest);
        let mut newest_first: Vec<(Nanos, NodeId)> =
            self.confirmed.iter().map(|(id, at)| (*at, *id)).collect();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let mut together = BTreeSet::new();
        for (at, id) in newest_first {
            together.insert(id);
            if is_quorum(&together) {
                self.until = at + timing.authority;
                return;
            }
        }
    }
}

/// Whom the leader has heard, and who is overdue.
#[derive(Debug, Default)]
pub(super) struct Watch {
    heard: BTreeMap<NodeId, Nanos>,
    order: BTreeSet<(Nanos, NodeId)>,
    condemned: BTreeSet<NodeId>,
    not_before: Nanos,
}

impl Watch {
    /// Begins anew: a new leader has heard nobody, and waits as if it had heard everybody just now.
    pub(super) fn begin(&mut self, now: Nanos, members: impl Iterator<Item = NodeId>, timing: &Timing) {
        *self = Self { not_before: now + timing.leader_wait, ..Self::default() };
        // The wait of a new leader is `not_before` alone.
        let then = now - timing.failure;
        for id in members {
            self.heard.insert(id, then);
            self.order.insert((then, id));
        }
    }

    pub(super) fn hear(&mut self, now: Nanos, id: NodeId) {
        if let Some(before) = self.heard.insert(id, now) {
            self.order.remove(&(before, id));
        }
        self.order.insert((now, id));
    }

    pub(super) fn forget(&mut self, id: NodeId) {
        if let Some(before) = self.heard.remove(&id) {
            self.order.remove(&(before, id));
        }
        self.condemned.remove(&id);
    }

    /// Who is watched and not a member (any longer).
    pub(super) fn strangers(&self, view: &View) -> Vec<NodeId> {
        self.heard.keys().copied().filter(|id| !view.contains(*id)).collect()
    }

    /// This node stood still and heard nobody for that reason.
    pub(super) fn excuse(&mut self, now: Nanos, timing: &Timing) {
        self.not_before = self.not_before.max(now + timing.failure);
    }

    /// The members that have been silent for so long that they are to be declared dead.
    pub(super) fn overdue(&self, now: Nanos, timing: &Timing) -> impl Iterator<Item = NodeId> {
        let failure = timing.failure;
        let silent = self.order.iter().take_while(move |(heard, _)| *heard + failure <= now);
        let judge = now >= self.not_before;
        silent.map(|(_, id)| *id).filter(move |id| judge && !self.condemned.contains(id))
    }

    pub(super) fn is_overdue(&self, now: Nanos, id: NodeId, timing: &Timing) -> bool {
        now >= self.not_before && self.heard.get(&id).is_some_and(|heard| *heard + timing.failure <= now)
    }

    /// Its removal is in the log: whatever it says now comes too late.
    pub(super) fn condemn(&mut self, id: NodeId) {
        self.condemned.insert(id);
    }

    pub(super) fn is_condemned(&self, id: NodeId) -> bool {
        self.condemned.contains(&id)
    }

    pub(super) fn silent_for(&self, now: Nanos, id: NodeId) -> Option<std::time::Duration> {
        self.heard.get(&id).map(|heard| now.since(*heard))
    }
}
