//! Who belongs to the cluster: the members, and the epoch that numbers this very list.

use std::collections::BTreeMap;

use crate::{Epoch, NodeId};

/// One node of the cluster, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// This run of it.
    pub id: NodeId,
    /// The name people use: small, counted up, never given twice.
    pub number: u32,
    pub name: String,
    /// Where it listens, `HOST:PORT`.
    pub address: String,
    /// Bytes of memory that it donates.
    pub memory: u64,
    /// It asked to leave and takes on nothing new.
    pub leaving: bool,
    /// When the departures were so many, all that it held was with others, and stays so until they are more.
    pub handed_over_at: Option<u64>,
    /// `View::departures` when it joined. Together with the number it tells a member from everybody before it.
    pub joined: u64,
}

/// The members of one epoch. All nodes that have a view of some epoch have the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which cluster this is: drawn at random by its first node.
    pub cluster: u64,
    pub epoch: Epoch,
    /// How often messages between members may have been lost for good: rises by one with each removal and with
    /// each reported break. Every member is
    /// told every value of it since it joined, unless it fell so far behind that it needed a snapshot.
    pub departures: u64,
    /// The number of the member that raised `departures` last, if it left after it had handed over all that it held.
    pub handed_over: Option<u32>,
    /// How many members vote once there are enough: 1, 3 or 5.
    pub voters_max: u8,
    members: BTreeMap<u32, Member>,
    numbers: BTreeMap<NodeId, u32>,
}

impl View {
    pub(super) fn new(cluster: u64, voters_max: u8) -> Self {
        Self {
            cluster,
            epoch: Epoch(0),
            departures: 0,
            handed_over: None,
            voters_max,
            members: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// In the order of their numbers, which is the order in which they came.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn contains(&self, id: NodeId) -> bool {
        self.numbers.contains_key(&id)
    }

    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(self.numbers.get(&id)?)
    }

    pub fn numbered(&self, number: u32) -> Option<&Member> {
        self.members.get(&number)
    }

    pub fn named(&self, name: &str) -> Option<&Member> {
        self.members().find(|m| m.name == name)
    }

    pub(super) fn insert(&mut self, member: Member) {
        self.numbers.insert(member.id, member.number);
        self.members.insert(member.number, member);
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Member> {
        self.members.remove(&self.numbers.remove(&id)?)
    }

    pub(super) fn member_mut(&mut self, id: NodeId) -> Option<&mut Member> {
        self.members.get_mut(self.numbers.get(&id)?)
    }
}
