//! [`Cluster`]: one node's membership as a state machine. See the module's head for how to drive it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use raft::eraftpb::{Message as RaftMessage, MessageType};

use super::announcements::Announcements;
use super::api::{Config, Effect, Input, Standing};
use super::command::Body;
use super::consensus::{Broken, Consensus};
use super::guard::TRANSFER;
use super::joining::Joining;
use super::lease::{Authority, Lease, Promise, Watch};
use super::parts::{Parts, Shipments};
use super::proposals::{Proposals, Waiter};
use super::state::{Machine, State};
use super::view::Member;
use super::wire::{ClusterMessage, Contact, Seen, Talk};
use crate::{Epoch, Nanos, NodeId};

/// Where this node is in its life. It only moves downwards.
///
/// ```text
///   Joining ──Welcome──▶ Member ──Leave──▶ Leaving ──removed──▶ Ended (left)
///      └──refused, late──▶ Ended (failed)     Member ──removed, gives up──▶ Ended (expelled)
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    Joining(Joining),
    Member,
    Leaving { deadline: Nanos },
    Ended(Standing),
}

/// One node's membership.
#[derive(Debug)]
pub struct Cluster<M> {
    pub(super) config: Config,
    pub(super) machine: M,
    pub(super) phase: Phase,
    pub(super) state: State,
    pub(super) consensus: Option<Consensus>,
    pub(super) lease: Lease,
    pub(super) promise: Promise,
    pub(super) authority: Authority,
    pub(super) watch: Watch,
    pub(super) announcements: Announcements,
    pub(super) proposals: Proposals,
    pub(super) parts: Parts,
    pub(super) shipments: Shipments,
    pub(super) up: BTreeSet<NodeId>,
    pub(super) dialed: BTreeMap<String, Nanos>,
    /// Members that the layers above talk to.
    pub(super) reached: BTreeSet<NodeId>,
    /// Members to talk to that the view doesn't have (yet).
    pub(super) contacts: Vec<Contact>,
    /// What this node says about itself with each renewal.
    pub(super) free: u64,
    pub(super) load: u32,
    pub(super) seen: Seen,
    pub(super) unanswered: u32,
    pub(super) rotation: usize,
    next_tick: Nanos,
    pub(super) next_renew: Nanos,
    pub(super) next_dial: Nanos,
    pub(super) next_transfer: Nanos,
    last_tick: Option<Nanos>,
    /// The leader and term that were last acted upon.
    known_leader: (u64, Option<NodeId>),
    /// A welcomed node that never gets a lease gives up then.
    pub(super) join_deadline: Nanos,
    pub(super) leaderless_since: Option<Nanos>,
    /// Messages were lost when the departures were this many, and the cluster doesn't know yet.
    pub(super) broken_at: Option<u64>,
    pub(super) reconcile_due: bool,
    pub(super) told_epoch: Epoch,
    pub(super) told_standing: Option<Standing>,
    pub(super) effects: Vec<Effect>,
}

impl<M: Machine> Cluster<M> {
    /// A node that has not begun yet; the first input must be [`Input::Start`].
    pub fn new(config: Config, machine: M) -> Self {
        Self {
            machine,
            phase: Phase::Joining(Joining::default()),
            state: State::unknown(0),
            consensus: None,
            lease: Lease::default(),
            promise: Promise::default(),
            authority: Authority::default(),
            watch: Watch::default(),
            announcements: Announcements::default(),
            proposals: Proposals::new(config.id),
            parts: Parts::default(),
            shipments: Shipments::default(),
            up: BTreeSet::new(),
            dialed: BTreeMap::new(),
            reached: BTreeSet::new(),
            contacts: Vec::new(),
            free: config.memory,
            load: 0,
            seen: Seen::default(),
            unanswered: 0,
            rotation: 0,
            next_tick: Nanos::ZERO,
            next_renew: Nanos::ZERO,
            next_dial: Nanos::ZERO,
            next_transfer: Nanos::ZERO,
            last_tick: None,
            known_leader: (0, None),
            join_deadline: Nanos::MAX,
            leaderless_since: None,
            broken_at: None,
            reconcile_due: false,
            told_epoch: Epoch(0),
            told_standing: None,
            effects: Vec::new(),
            config,
        }
    }

    /// Takes in one event and says what is to be done about it, in this order.
    pub fn handle(&mut self, now: Nanos, input: Input) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Ended(_)) {
            let done = self.take_in(now, input).and_then(|()| self.settle(now));
            if let Err(broken) = done {
                tracing::error!(node = %self.config.id, "{broken}");
                self.expelled(&broken.to_string());
            }
        } else {
            self.refuse(input);
        }
        self.tell_standing(now);
        std::mem::take(&mut self.effects)
    }

    fn take_in(&mut self, now: Nanos, input: Input) -> Result<(), Broken> {
        match input {
            Input::Start { cluster } => self.start(now, cluster),
            Input::Tick => self.tick(now),
            Input::Up { peer } => {
                self.up.insert(peer);
                self.greet(peer);
                Ok(())
            }
            Input::Down { peer } => {
                self.up.remove(&peer);
                self.lost(peer)
            }
            // Parts of a snapshot are sent again at the next tick.
            Input::Unsent { peer } if self.shipments.stall(peer) => Ok(()),
            Input::Unsent { peer } => self.lost(peer),
            Input::ConnectFailed { address, reason } => {
                self.connect_failed(address, &reason);
                Ok(())
            }
            Input::Message { from, message } => self.message(now, from, message),
            Input::Propose { token, command, timeout } => {
                self.propose(now, Waiter::Caller(token), Body::Machine(command), now + timeout);
                Ok(())
            }
            Input::Announce { free, load } => {
                (self.free, self.load) = (free, load);
                Ok(())
            }
            Input::Reach { peer } => {
                self.reach(now, peer);
                Ok(())
            }
            Input::Leave { handed_over_at } => {
                self.leave(now, handed_over_at);
                Ok(())
            }
            Input::GiveUp { why } => {
                self.give_up(&why);
                Ok(())
            }
            Input::Break { departures_seen } => {
                self.broken_at = self.broken_at.max(Some(departures_seen));
                self.report_break(now);
                Ok(())
            }
        }
    }

    /// Founds a cluster, or begins to look for the one to join.
    fn start(&mut self, now: Nanos, cluster: u64) -> Result<(), Broken> {
        self.next_tick = now + self.config.timing.tick;
        if !self.config.join.is_empty() {
            self.join_deadline = now + self.config.join_timeout;
            self.phase = Phase::Joining(Joining::default());
            self.dial(now);
            return Ok(());
        }
        let founder = Member {
            id: self.config.id,
            number: 1,
            name: self.config.name.clone(),
            address: self.config.address.clone(),
            memory: self.config.memory,
            leaving: false,
            handed_over_at: None,
            joined: 0,
        };
        self.state = State::found(cluster, self.config.voters_max, founder);
        self.machine.members_changed(1, self.state.view());
        let snapshot = self.state.snapshot(&self.machine).map_err(|e| Broken(e.to_string()))?;
        self.consensus = Some(Consensus::found(self.config.id, self.config.seed, snapshot)?);
        self.phase = Phase::Member;
        self.effects.push(Effect::Joined { cluster, number: 1 });
        self.notice_views(now, vec![Arc::clone(self.state.view())]);
        Ok(())
    }

    fn tick(&mut self, now: Nanos) -> Result<(), Broken> {
        let timing = self.config.timing;
        if self.last_tick.is_some_and(|last| now > last + timing.standstill()) {
            self.watch.excuse(now, &timing);
        }
        self.last_tick = Some(now);
        if now < self.next_tick {
            return Ok(());
        }
        self.next_tick = (self.next_tick + timing.tick).max(now);
        if let Some(consensus) = &mut self.consensus {
            consensus.tick(self.promise.binds(now))?;
            self.reconcile_due = true;
            self.go_on_shipping();
        }
        self.expire(now);
        self.report_break(now);
        if now >= self.next_dial {
            self.next_dial = now + timing.retry() / 2;
            self.dial(now);
        }
        self.tick_joining(now);
        if matches!(self.phase, Phase::Leaving { deadline } if now >= deadline) {
            self.end(Standing::Left, Effect::Left { orderly: false });
        }
        Ok(())
    }

    fn message(&mut self, now: Nanos, from: NodeId, message: ClusterMessage) -> Result<(), Broken> {
        let ours = self.consensus.is_some() && message.cluster == self.state.view().cluster;
        match message.body {
            Talk::Join { name, address, memory } => {
                self.asked_to_join(now, from, message.cluster, name, address, memory);
                return Ok(());
            }
            Talk::Joined(answer) => return self.join_answered(now, from, message.cluster, answer),
            _ if !ours => return Ok(()),
            Talk::Expelled { epoch } => {
                self.told_expelled(from, epoch);
                return Ok(());
            }
            _ if self.state.was_removed(from) => {
                let epoch = self.state.view().epoch;
                self.send(from, Talk::Expelled { epoch });
                return Ok(());
            }
            Talk::Raft(message) => return self.raft(now, from, *message),
            Talk::Part { at, bytes } => self.take_part(now, from, at, &bytes),
            Talk::Taken { bytes } => {
                for talk in self.shipments.taken(from, bytes) {
                    self.send(from, talk);
                }
            }
            Talk::Propose { entry } => return self.proposed(from, entry),
            Talk::Renew { asked, free, load, seen } => self.renewed(now, from, asked, (free, load), seen),
            Talk::Granted { asked, seen, announcements } => {
                self.granted(now, from, asked, seen, announcements);
            }
            Talk::NotLeader { leader } => self.redirected(now, leader),
            Talk::Confirm { term, asked } => self.asked_to_confirm(now, from, term, asked),
            Talk::Confirmed { term, asked } => self.confirmed(now, from, term, asked),
        }
        Ok(())
    }

    fn raft(&mut self, now: Nanos, from: NodeId, mut message: RaftMessage) -> Result<(), Broken> {
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        message.from = from.get();
        message.to = self.config.id.get();
        self.parts.complete(from, &mut message);
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let handed_over =
                    message.get_msg_type() == MessageType::MsgRequestVote && message.context == TRANSFER;
                if !self.promise.allows(now, message.term, handed_over) {
                    return Ok(());
                }
            }
            MessageType::MsgTimeoutNow => self.promise.release(message.term),
            MessageType::MsgSnapshot => {
                let known = State::decode(&message.get_snapshot().data);
                if !known.is_ok_and(|(state, _)| state.view().cluster == self.state.view().cluster) {
                    tracing::warn!(peer = %from, "refused a snapshot that makes no sense");
                    return Ok(());
                }
            }
            _ => {}
        }
        if let Err(nonsense) = consensus.step(message)? {
            tracing::warn!(peer = %from, "{nonsense}");
        }
        Ok(())
    }

    /// Lets what was taken in have its consequences, until nothing moves any more.
    fn settle(&mut self, now: Nanos) -> Result<(), Broken> {
        self.pump(now)?;
        if self.notice_leader(now) {
            self.pump(now)?;
        }
        self.lead(now)?;
        self.renew(now);
        self.route(now)?;
        self.pump(now)?;
        self.keep_log(now)?;
        self.notice_quorum(now);
        Ok(())
    }

    /// True when somebody else leads now, or nobody.
    fn notice_leader(&mut self, now: Nanos) -> bool {
        let Some(consensus) = &self.consensus else { return false };
        let known = (consensus.term(), consensus.leader());
        if known == self.known_leader {
            return false;
        }
        self.known_leader = known;
        self.authority.enter(known.0);
        self.proposals.send_again();
        self.unanswered = 0;
        self.next_renew = now;
        if consensus.leads() {
            tracing::info!(node = %self.config.id, term = known.0, "leads");
            let view = self.state.view().clone();
            let others = view.members().map(|m| m.id).filter(|id| *id != self.config.id);
            self.watch.begin(now, others, &self.config.timing);
            self.announcements.enter(known.0);
            self.reconcile_due = true;
        }
        true
    }

    /// Keeps track of how long there has been no leader that a quorum stands by.
    fn notice_quorum(&mut self, now: Nanos) {
        let Some(consensus) = &self.consensus else { return };
        let first_time = self.lease.until() == Nanos::ZERO;
        let reached = if consensus.leads() {
            self.authority.holds(now, consensus.term())
        } else {
            consensus.leader().is_some() && (first_time || self.lease.holds(now))
        };
        self.leaderless_since = match self.leaderless_since {
            _ if reached => None,
            None => Some(now),
            since => since,
        };
    }

    fn lost(&mut self, peer: NodeId) -> Result<(), Broken> {
        self.shipments.forget(peer);
        match self.consensus.as_mut().filter(|c| c.leads()) {
            Some(consensus) => consensus.lost(peer),
            None => Ok(()),
        }
    }

    pub(super) fn send(&mut self, to: NodeId, body: Talk) {
        let cluster = self.state.view().cluster;
        self.effects.push(Effect::Send { to, message: ClusterMessage { cluster, body } });
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
