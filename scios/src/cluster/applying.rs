//! From the log to the replicated state, and what follows from it: answers, views, snapshots.

use std::sync::Arc;

use raft::eraftpb::{Message as RaftMessage, MessageType};

use super::api::Effect;
use super::command::Entry;
use super::consensus::{Broken, Step};
use super::core::Cluster;
use super::state::{Machine, State};
use super::view::View;
use super::wire::{ClusterMessage, Talk};
use crate::{Nanos, NodeId};

impl<M: Machine> Cluster<M> {
    /// Carries out what the consensus has ready, and what follows for the waiting, the watch and the view.
    pub(super) fn pump(&mut self, now: Nanos) -> Result<(), Broken> {
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        let (me, cluster) = (self.config.id, self.state.view().cluster);
        let (mut ended, mut unreachable, mut fault, mut restored) = (Vec::new(), Vec::new(), None, false);
        let mut views = Vec::new();
        let (state, machine, effects, up) = (&mut self.state, &mut self.machine, &mut self.effects, &self.up);
        let shipments = &mut self.shipments;
        let was_joint = consensus.is_joint();
        consensus.pump(
            |step| match step {
                Step::Restore { data, index } => match restore(machine, data, index) {
                    Ok(new) => {
                        (*state, restored) = (new, true);
                        views.push(Arc::clone(state.view()));
                    }
                    Err(why) => fault = Some(why),
                },
                Step::Apply { index, data } => match Entry::decode(data) {
                    Ok(entry) => {
                        let (proposer, sequence) = (entry.proposer, entry.sequence);
                        let epoch = state.view().epoch;
                        let outcome = state.apply(machine, index, entry);
                        if state.view().epoch != epoch {
                            views.push(Arc::clone(state.view()));
                        }
                        if proposer == me {
                            ended.push((sequence, outcome));
                        }
                    }
                    // Every member ignores it alike.
                    Err(why) => tracing::warn!(index, "ignored a log entry that makes no sense: {why}"),
                },
            },
            |to, message| {
                if up.contains(&to) {
                    let send = |body| Effect::Send { to, message: ClusterMessage { cluster, body } };
                    effects.extend(shipments.ship(to, message).into_iter().map(send));
                } else if carries_log(&message) {
                    unreachable.push(to);
                }
            },
        )?;
        for id in unreachable {
            consensus.lost(id)?;
        }
        // As long as two sets of voters have to agree, the death of one that is alone in its set is the end of all decisions.
        self.reconcile_due |= consensus.is_joint() && !was_joint;
        if let Some(why) = fault {
            return Err(Broken(why));
        }
        if restored {
            let known = |sequence| Some((sequence, self.state.answer(me, sequence)?.clone()));
            ended.extend(self.proposals.sequences().into_iter().filter_map(known));
        }
        for (sequence, outcome) in ended {
            if let Some(waiter) = self.proposals.end(sequence) {
                self.decided(waiter, outcome);
            }
        }
        self.notice_views(now, views);
        Ok(())
    }

    /// Tells each view, also those that were in force for no time at all: who counts departures must see them all.
    pub(super) fn notice_views(&mut self, now: Nanos, views: Vec<Arc<View>>) {
        let view = Arc::clone(self.state.view());
        if view.epoch <= self.told_epoch {
            return;
        }
        self.told_epoch = view.epoch;
        self.reconcile_due = true;
        self.watch_members(now, &view);
        self.reached.retain(|id| view.contains(*id));
        self.contacts.retain(|c| !self.state.was_removed(c.id));
        self.effects.extend(views.into_iter().map(Effect::View));
        if !view.contains(self.config.id) {
            self.removed();
        }
    }

    /// A part of the state that this node lacks.
    pub(super) fn take_part(&mut self, now: Nanos, from: NodeId, at: u64, bytes: &[u8]) {
        let taken = self.parts.take_in(from, at, bytes);
        if self.join_deadline != Nanos::MAX {
            // As long as more of it comes, joining takes as long as it takes.
            self.join_deadline = self.join_deadline.max(now + self.config.join_timeout);
        }
        self.send(from, Talk::Taken { bytes: taken });
    }

    /// Sends again what of snapshots could not be sent, and forgets those that have arrived.
    pub(super) fn go_on_shipping(&mut self) {
        let consensus = self.consensus.as_ref();
        self.shipments.retain(|to, index| consensus.is_some_and(|c| c.waits_for_snapshot(to, index)));
        for (to, talk) in self.shipments.resume() {
            self.send(to, talk);
        }
    }

    /// Makes the snapshot that a member waits for, and keeps the log from growing without end.
    pub(super) fn keep_log(&mut self, now: Nanos) -> Result<(), Broken> {
        let Some(consensus) = &mut self.consensus else { return Ok(()) };
        if consensus.snapshot_wanted().is_none() && !consensus.is_long(&self.up) {
            return Ok(());
        }
        match self.state.snapshot(&self.machine) {
            Ok(data) => consensus.keep_snapshot(data, &self.up)?,
            Err(why) => {
                tracing::error!("no snapshot of the replicated state: {why}");
                return Ok(());
            }
        }
        self.pump(now)
    }
}

fn restore<M: Machine>(machine: &mut M, data: &[u8], index: u64) -> Result<State, String> {
    let (state, bytes) = State::decode(data).map_err(|e| e.to_string())?;
    machine.restore(bytes)?;
    machine.members_changed(index, state.view());
    Ok(state)
}

/// Whether losing it makes the leader's picture of a member wrong.
fn carries_log(message: &RaftMessage) -> bool {
    matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgSnapshot)
}
