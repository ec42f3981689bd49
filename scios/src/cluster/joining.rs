//! How a node becomes a member: what the newcomer does, and what the member does that it asked.

use std::collections::BTreeMap;

use super::api::{Effect, JoinError};
use super::command::{Body, Outcome, Refusal};
use super::consensus::{Broken, Consensus};
use super::core::{Cluster, Phase};
use super::proposals::{ProposeError, Waiter};
use super::state::{Machine, State};
use super::wire::{Contact, JoinAnswer, NotNow, Talk};
use crate::verbs::ConnectError;
use crate::{Nanos, NodeId};

/// A newcomer's memory.
#[derive(Debug, Default)]
pub(super) struct Joining {
    next_ask: Nanos,
    /// Why it has not worked so far, in words for the user.
    why: Option<String>,
    /// Addresses where no member of this kind will ever be found.
    hopeless: BTreeMap<String, ConnectError>,
}

impl<M: Machine> Cluster<M> {
    /// A connection is up: a newcomer asks at once.
    pub(super) fn greet(&mut self, peer: NodeId) {
        if matches!(self.phase, Phase::Joining(_)) {
            self.ask_to_join(peer);
        }
    }

    fn ask_to_join(&mut self, peer: NodeId) {
        let (name, address) = (self.config.name.clone(), self.config.address.clone());
        self.send(peer, Talk::Join { name, address, memory: self.config.memory });
    }

    pub(super) fn tick_joining(&mut self, now: Nanos) {
        let timing = self.config.timing;
        if let Phase::Joining(joining) = &mut self.phase {
            if now >= joining.next_ask {
                joining.next_ask = now + timing.renew;
                self.rotation = self.rotation.wrapping_add(1);
                let turn = self.rotation % self.up.len().max(1);
                if let Some(peer) = self.up.iter().nth(turn).copied() {
                    self.ask_to_join(peer);
                }
            }
        } else if self.lease.until() != Nanos::ZERO || !matches!(self.phase, Phase::Member) {
            self.join_deadline = Nanos::MAX;
        }
        if now >= self.join_deadline {
            let why = match &mut self.phase {
                Phase::Joining(joining) => joining.why.take(),
                _ => Some(
                    "the cluster accepted this node, and then nothing more was heard of its leader".into(),
                ),
            };
            let waited_ms = self.config.join_timeout.as_millis() as u64;
            let why = why.unwrap_or_else(|| format!("no answer from {}", self.config.join.join(", ")));
            self.join_failed(JoinError::TimedOut { waited_ms, why });
        }
    }

    pub(super) fn connect_failed(&mut self, address: String, reason: &ConnectError) {
        let Phase::Joining(joining) = &mut self.phase else { return };
        joining.why = Some(reason.to_string());
        if !matches!(reason, ConnectError::Unreachable { .. } | ConnectError::Timeout { .. }) {
            joining.hopeless.insert(address, reason.clone());
        }
        if self.config.join.iter().all(|address| joining.hopeless.contains_key(address)) {
            self.join_failed(JoinError::Connect(reason.clone()));
        }
    }

    pub(super) fn join_answered(
        &mut self,
        now: Nanos,
        from: NodeId,
        cluster: u64,
        answer: JoinAnswer,
    ) -> Result<(), Broken> {
        let Phase::Joining(joining) = &mut self.phase else { return Ok(()) };
        match answer {
            JoinAnswer::Welcome { number, contacts } if cluster != 0 => {
                self.phase = Phase::Member;
                self.state = State::unknown(cluster);
                self.consensus = Some(Consensus::join(self.config.id, self.config.seed)?);
                self.contacts = contacts;
                self.next_renew = now;
                self.effects.push(Effect::Joined { cluster, number });
            }
            // It was this very node's earlier run, at the same address: that one is surely dead.
            JoinAnswer::Refused(Refusal::NameTaken { address, .. }) if address == self.config.address => {
                joining.why = Some(later(NotNow::EarlierRun).into());
            }
            JoinAnswer::Refused(why) => self.join_failed(why.into()),
            JoinAnswer::Later(why) => joining.why = Some(later(why).into()),
            JoinAnswer::OtherCluster => self.join_failed(JoinError::OtherCluster),
            JoinAnswer::Welcome { .. } => tracing::warn!(peer = %from, "welcomed to no cluster at all"),
        }
        Ok(())
    }

    /// The other side: a node asks this one.
    pub(super) fn asked_to_join(
        &mut self,
        now: Nanos,
        from: NodeId,
        cluster: u64,
        name: String,
        address: String,
        memory: u64,
    ) {
        let view = self.state.view();
        let member =
            matches!(self.phase, Phase::Member | Phase::Leaving { .. }) && view.contains(self.config.id);
        let answer = if !member {
            Some(JoinAnswer::Later(NotNow::NotMember))
        } else if cluster != 0 && cluster != view.cluster {
            Some(JoinAnswer::OtherCluster)
        } else if let Some(known) = view.member(from) {
            Some(self.welcome(known.number))
        } else if self.state.was_removed(from) {
            Some(JoinAnswer::Refused(Refusal::NotMember))
        } else {
            None
        };
        match answer {
            Some(answer) => self.send(from, Talk::Joined(answer)),
            None if self.proposals.waits(Waiter::Joiner(from)) => {}
            None => {
                let deadline = now + self.config.timing.failure;
                self.propose(
                    now,
                    Waiter::Joiner(from),
                    Body::Add { id: from, name, address, memory },
                    deadline,
                );
            }
        }
    }

    pub(super) fn answer_joiner(&mut self, id: NodeId, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Added(number) => self.welcome(number),
            Outcome::Refused(why) => JoinAnswer::Refused(why),
            Outcome::Value(_) | Outcome::Changed => return,
        };
        self.send(id, Talk::Joined(answer));
    }

    pub(super) fn put_off_joiner(&mut self, id: NodeId, why: &ProposeError) {
        let why = match why {
            ProposeError::TooMany { .. } => NotNow::Busy,
            ProposeError::NotMember => NotNow::NotMember,
            _ => NotNow::NoQuorum,
        };
        self.send(id, Talk::Joined(JoinAnswer::Later(why)));
    }

    /// A newcomer needs the voters: the leader is one of them.
    fn welcome(&self, number: u32) -> JoinAnswer {
        let view = self.state.view();
        let voters = self.consensus.iter().flat_map(|c| c.conf().voters.iter());
        let contacts = voters
            .filter_map(|id| view.member(NodeId::new(*id)?))
            .map(|m| Contact { id: m.id, address: m.address.clone() })
            .collect();
        JoinAnswer::Welcome { number, contacts }
    }
}

fn later(why: NotNow) -> &'static str {
    match why {
        NotNow::NotMember => {
            "the node that was asked is not a member of a cluster itself; start one node without join= first"
        }
        NotNow::NoQuorum => "the cluster has no quorum: a majority of its voters doesn't answer",
        NotNow::Busy => "too many nodes join through this member at once",
        NotNow::EarlierRun => "an earlier run of this node is still a member until its lease has ended",
    }
}
