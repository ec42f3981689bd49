//! The way of a command: from whoever proposes it to the leader, again when it may be lost, and its end back to who waits.

use super::api::Effect;
use super::command::{Body, Entry, Outcome};
use super::consensus::Broken;
use super::core::{Cluster, Phase};
use super::proposals::{ProposeError, Waiter};
use super::state::Machine;
use super::wire::{ClusterMessage, Talk};
use crate::{Nanos, NodeId};

impl<M: Machine> Cluster<M> {
    pub(super) fn propose(&mut self, now: Nanos, waiter: Waiter, body: Body, deadline: Nanos) {
        let added = match self.phase {
            Phase::Member | Phase::Leaving { .. } => self.proposals.add(now, waiter, body, deadline),
            Phase::Joining(_) | Phase::Ended(_) => Err(ProposeError::NotMember),
        };
        if let Err(why) = added {
            self.given_up(waiter, why);
        }
    }

    /// A member's command, for this node to append if it leads. What is dropped is sent again by its proposer.
    pub(super) fn proposed(&mut self, from: NodeId, bytes: Vec<u8>) -> Result<(), Broken> {
        let Some(consensus) = self.consensus.as_mut().filter(|c| c.leads()) else { return Ok(()) };
        match Entry::decode(&bytes) {
            Ok(entry)
                if entry.proposer == from
                    && entry.sequence > 0
                    && !matches!(entry.body, Body::Remove { .. })
                    && self.state.view().contains(from) =>
            {
                consensus.propose(bytes).map(|_| ())
            }
            _ => {
                tracing::debug!(peer = %from, "refused a command that is not the sender's to give");
                Ok(())
            }
        }
    }

    /// Gives commands that are not on their way to whoever leads.
    pub(super) fn route(&mut self, now: Nanos) -> Result<(), Broken> {
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        let Some(leader) = consensus.leader() else { return Ok(()) };
        while let Some((sequence, entry)) = self.proposals.unsent(now, self.config.timing.renew) {
            self.proposals.sent(now, sequence);
            let Ok(entry) = entry else { continue };
            if leader == self.config.id {
                consensus.propose(entry)?;
            } else if self.up.contains(&leader) {
                let message =
                    ClusterMessage { cluster: self.state.view().cluster, body: Talk::Propose { entry } };
                self.effects.push(Effect::Send { to: leader, message });
            }
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, now: Nanos) {
        while let Some((waiter, waited_ms)) = self.proposals.expired(now) {
            let why = match self.leaderless_since {
                Some(_) => ProposeError::NoQuorum { waited_ms, detail: self.quorum_detail() },
                None => ProposeError::TimedOut { waited_ms },
            };
            self.given_up(waiter, why);
        }
    }

    pub(super) fn decided(&mut self, waiter: Waiter, outcome: Outcome) {
        match waiter {
            Waiter::Caller(token) => self.effects.push(Effect::Decided { token, outcome: Ok(outcome) }),
            Waiter::Joiner(id) => self.answer_joiner(id, outcome),
            Waiter::Leaver | Waiter::Breaker => {}
        }
    }

    pub(super) fn given_up(&mut self, waiter: Waiter, why: ProposeError) {
        match waiter {
            Waiter::Caller(token) => self.effects.push(Effect::Decided { token, outcome: Err(why) }),
            Waiter::Joiner(id) => self.put_off_joiner(id, &why),
            Waiter::Leaver | Waiter::Breaker => {}
        }
    }

    /// Proposes that messages were lost, again and again until they count as lost.
    pub(super) fn report_break(&mut self, now: Nanos) {
        let seen = self.broken_at.filter(|seen| *seen == self.state.view().departures);
        self.broken_at = seen;
        if let Some(departures_seen) = seen
            && !self.proposals.waits(Waiter::Breaker)
        {
            let deadline = now + self.config.timing.failure;
            self.propose(now, Waiter::Breaker, Body::Break { departures_seen }, deadline);
        }
    }
}
