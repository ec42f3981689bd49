//! The replicated state: what every member computes alike from the log. Pure and deterministic: no clock, no chance.
//!
//! It holds the members, the results of recent commands (so that a retried command answers as it did the first time),
//! and a [`Machine`] of the layers above.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::command::{Body, Entry, Outcome, Refusal, get_count, put_count};
use super::view::{Member, View};
use crate::limits::{
    ADDRESS_BYTES_MAX, MEMBERS_MAX, NODE_NAME_BYTES_MAX, PROPOSALS_IN_FLIGHT_MAX, REMOVED_REMEMBERED_MAX,
    RESULT_BYTES_MAX, SNAPSHOT_BYTES_MAX, VOTERS_MAX,
};
use crate::rpc::codec::{DecodeError, EncodeError, Reader, Writer};
use crate::{Epoch, NodeId};

/// What the layers above replicate: name space, segments, homes. All replicas apply the same commands in the same
/// order, so everything here must depend on nothing but its arguments.
pub trait Machine: Any + Send {
    /// Applies one command and answers at most `RESULT_BYTES_MAX` bytes.
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8>;

    /// The members have changed. Called between commands, at the same place in every replica.
    fn members_changed(&mut self, _index: u64, _view: &View) {}

    /// Everything that `restore` needs.
    fn snapshot(&self) -> Vec<u8>;

    /// Becomes what `snapshot` described. A refusal leaves it unchanged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

impl<M: Machine + ?Sized> Machine for Box<M> {
    fn apply(&mut self, index: u64, command: &[u8]) -> Vec<u8> {
        (**self).apply(index, command)
    }
    fn members_changed(&mut self, index: u64, view: &View) {
        (**self).members_changed(index, view);
    }
    fn snapshot(&self) -> Vec<u8> {
        (**self).snapshot()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        (**self).restore(snapshot)
    }
}

/// A machine for nodes that replicate nothing but their membership.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMachine;

impl Machine for NoMachine {
    fn apply(&mut self, _index: u64, _command: &[u8]) -> Vec<u8> {
        Vec::new()
    }
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }
    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// The results of one member's recent commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answers {
    floor: u64,
    results: BTreeMap<u64, Outcome>,
}

/// All of it but the machine. Cloned by nobody: snapshots are bytes.
#[derive(Debug)]
pub(super) struct State {
    view: Arc<View>,
    next_number: u32,
    removed: VecDeque<NodeId>,
    answers: BTreeMap<NodeId, Answers>,
}

impl State {
    /// A cluster that has its first node as the only member.
    pub(super) fn found(cluster: u64, voters_max: u8, founder: Member) -> Self {
        let mut view = View::new(cluster, voters_max);
        view.epoch = Epoch(1);
        let next_number = founder.number + 1;
        view.insert(founder);
        Self { view: Arc::new(view), next_number, removed: VecDeque::new(), answers: BTreeMap::new() }
    }

    /// What a node knows before the first snapshot has reached it.
    pub(super) fn unknown(cluster: u64) -> Self {
        Self {
            view: Arc::new(View::new(cluster, 1)),
            next_number: 1,
            removed: VecDeque::new(),
            answers: BTreeMap::new(),
        }
    }

    pub(super) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether this node was a member, and is one no longer. (Forgotten after `REMOVED_REMEMBERED_MAX` others.)
    pub(super) fn was_removed(&self, id: NodeId) -> bool {
        self.removed.contains(&id)
    }

    /// What a command of this proposer answered, if it was applied.
    pub(super) fn answer(&self, proposer: NodeId, sequence: u64) -> Option<&Outcome> {
        self.answers.get(&proposer)?.results.get(&sequence)
    }

    /// Applies one entry. A command that was applied before answers as it did then and changes nothing.
    pub(super) fn apply<M: Machine>(&mut self, machine: &mut M, index: u64, entry: Entry) -> Outcome {
        if !self.view.contains(entry.proposer) {
            return Outcome::Refused(Refusal::NotMember);
        }
        if entry.sequence == 0 {
            return self.execute(machine, index, entry);
        }
        let answers = self.answers.entry(entry.proposer).or_default();
        if entry.floor > answers.floor {
            answers.floor = entry.floor;
            answers.results = answers.results.split_off(&entry.floor);
        }
        if let Some(known) = answers.results.get(&entry.sequence) {
            return known.clone();
        }
        let end = answers.floor.saturating_add(PROPOSALS_IN_FLIGHT_MAX as u64);
        if entry.sequence < answers.floor || entry.sequence >= end {
            return Outcome::Refused(Refusal::Stale);
        }
        let (proposer, sequence) = (entry.proposer, entry.sequence);
        let outcome = self.execute(machine, index, entry);
        if let Some(answers) = self.answers.get_mut(&proposer) {
            answers.results.insert(sequence, outcome.clone());
        }
        outcome
    }

    fn execute<M: Machine>(&mut self, machine: &mut M, index: u64, entry: Entry) -> Outcome {
        let outcome = match entry.body {
            Body::Machine(command) => {
                let answer = machine.apply(index, &command);
                return if answer.len() <= RESULT_BYTES_MAX {
                    Outcome::Value(answer)
                } else {
                    Outcome::Refused(Refusal::AnswerTooLong {
                        bytes: answer.len() as u64,
                        max: RESULT_BYTES_MAX as u64,
                    })
                };
            }
            Body::Add { id, name, address, memory } => match self.add(id, name, address, memory) {
                Ok(number) => Outcome::Added(number),
                Err(known) => return known,
            },
            Body::Leave { handed_over_at } => {
                match Arc::make_mut(&mut self.view).member_mut(entry.proposer) {
                    Some(member) if !member.leaving => {
                        (member.leaving, member.handed_over_at) = (true, handed_over_at);
                        Outcome::Changed
                    }
                    _ => return Outcome::Changed,
                }
            }
            Body::Remove { id, .. } => {
                let view = Arc::make_mut(&mut self.view);
                let Some(member) = view.remove(id) else { return Outcome::Changed };
                // However it went in the end: what it had promised of these departures still holds.
                let kept = member.handed_over_at == Some(view.departures);
                view.handed_over = kept.then_some(member.number);
                view.departures += 1;
                self.forget(id);
                Outcome::Changed
            }
            Body::Break { departures_seen } => {
                if departures_seen != self.view.departures {
                    return Outcome::Changed;
                }
                let view = Arc::make_mut(&mut self.view);
                view.departures += 1;
                view.handed_over = None;
                Outcome::Changed
            }
        };
        let view = Arc::make_mut(&mut self.view);
        view.epoch = Epoch(view.epoch.0 + 1);
        machine.members_changed(index, view);
        outcome
    }

    /// `Err` carries the outcome where nothing changes.
    fn add(&mut self, id: NodeId, name: String, address: String, memory: u64) -> Result<u32, Outcome> {
        if let Some(known) = self.view.member(id) {
            return Err(Outcome::Added(known.number));
        }
        if self.was_removed(id) {
            return Err(Outcome::Refused(Refusal::NotMember));
        }
        if let Some(other) = self.view.named(&name) {
            let address = other.address.clone();
            return Err(Outcome::Refused(Refusal::NameTaken { name, address }));
        }
        if self.view.len() >= MEMBERS_MAX {
            return Err(Outcome::Refused(Refusal::ClusterFull { max: MEMBERS_MAX as u64 }));
        }
        let number = self.next_number;
        self.next_number += 1;
        let view = Arc::make_mut(&mut self.view);
        let joined = view.departures;
        let (leaving, handed_over_at) = (false, None);
        view.insert(Member { id, number, name, address, memory, leaving, handed_over_at, joined });
        Ok(number)
    }

    fn forget(&mut self, id: NodeId) {
        self.answers.remove(&id);
        if self.removed.len() == REMOVED_REMEMBERED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back(id);
    }

    pub(super) fn snapshot<M: Machine>(&self, machine: &M) -> Result<Vec<u8>, EncodeError> {
        let mut to = Writer::new();
        to.u64(self.view.cluster);
        to.epoch(self.view.epoch);
        to.u64(self.view.departures);
        put_count(&mut to, self.view.handed_over.map(u64::from));
        to.u8(self.view.voters_max);
        to.u32(self.next_number);
        let members: Vec<&Member> = self.view.members().collect();
        to.list("members", &members, MEMBERS_MAX, |to, m| put_member(to, m));
        let removed: Vec<NodeId> = self.removed.iter().copied().collect();
        to.list("removed members", &removed, REMOVED_REMEMBERED_MAX, |to, id| to.node(*id));
        let answers: Vec<_> = self.answers.iter().collect();
        to.list("proposers", &answers, MEMBERS_MAX, |to, (id, answers)| {
            to.node(**id);
            to.u64(answers.floor);
            let results: Vec<_> = answers.results.iter().collect();
            to.list("results", &results, PROPOSALS_IN_FLIGHT_MAX, |to, (sequence, outcome)| {
                to.u64(**sequence);
                outcome.encode(to);
            });
        });
        to.bytes("machine", &machine.snapshot(), SNAPSHOT_BYTES_MAX);
        to.finish().map(<[u8]>::to_vec)
    }

    /// The state and the machine's part of a snapshot. Nothing is taken over yet.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut from = Reader::new(bytes);
        let (cluster, epoch, departures) = (from.u64()?, from.epoch()?, from.u64()?);
        let handed_over = get_count(&mut from)?.and_then(|number| u32::try_from(number).ok());
        let voters_max = from.u8()?;
        if !matches!(voters_max, 1 | 3 | 5) || usize::from(voters_max) > VOTERS_MAX {
            return Err(DecodeError::Invalid { what: "number of voters", value: u64::from(voters_max) });
        }
        let mut view = View::new(cluster, voters_max);
        (view.epoch, view.departures, view.handed_over) = (epoch, departures, handed_over);
        let next_number = from.u32()?;
        for member in from.list("members", MEMBERS_MAX, get_member)? {
            if member.number >= next_number {
                return Err(DecodeError::Invalid { what: "member number", value: u64::from(member.number) });
            }
            if member.joined > departures {
                return Err(DecodeError::Invalid { what: "departures at a join", value: member.joined });
            }
            view.insert(member);
        }
        let removed = from.list("removed members", REMOVED_REMEMBERED_MAX, Reader::node)?.into();
        let answers = from.list("proposers", MEMBERS_MAX, get_answers)?.into_iter().collect();
        let machine = from.bytes("machine", SNAPSHOT_BYTES_MAX)?;
        from.end()?;
        Ok((Self { view: Arc::new(view), next_number, removed, answers }, machine))
    }
}

fn get_answers(from: &mut Reader<'_>) -> Result<(NodeId, Answers), DecodeError> {
    let (id, floor) = (from.node()?, from.u64()?);
    let results =
        from.list("results", PROPOSALS_IN_FLIGHT_MAX, |from| Ok((from.u64()?, Outcome::decode(from)?)))?;
    Ok((id, Answers { floor, results: results.into_iter().collect() }))
}

fn put_member(to: &mut Writer, member: &Member) {
    to.node(member.id);
    to.u32(member.number);
    to.text("node name", &member.name, NODE_NAME_BYTES_MAX);
    to.text("address", &member.address, ADDRESS_BYTES_MAX);
    to.u64(member.memory);
    to.bool(member.leaving);
    put_count(to, member.handed_over_at);
    to.u64(member.joined);
}

fn get_member(from: &mut Reader<'_>) -> Result<Member, DecodeError> {
    Ok(Member {
        id: from.node()?,
        number: from.u32()?,
        name: from.text("node name", NODE_NAME_BYTES_MAX)?.to_owned(),
        address: from.text("address", ADDRESS_BYTES_MAX)?.to_owned(),
        memory: from.u64()?,
        leaving: from.bool()?,
        handed_over_at: get_count(from)?,
        joined: from.u64()?,
    })
}
