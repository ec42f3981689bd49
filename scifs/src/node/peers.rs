//! The other members: who they are by number and by node, and how messages reach them.
//!
//! What the engine asks for is that messages between two members arrive once and in order, or that the epoch changes. So: a
//! message for a member that isn't connected waits; when messages may have been lost, everything of that epoch is dropped in both
//! directions, and the membership is asked to raise it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use scios::memory::RegionSlice;
use scios::rpc::codec::Message;
use scios::rpc::{CallError, Rpc};
use scios::{Nanos, NodeId};

use super::limits::REDIAL_EVERY;
use super::link::Link;
use super::view::NodeView;
use crate::coherence::MemberNo;

pub(super) struct Peers {
    rpc: Arc<Rpc>,
    links: RwLock<HashMap<NodeId, Arc<Link>>>,
    /// The newest epoch that this node was told of.
    epoch: AtomicU64,
    /// The members of the newest view.
    roster: RwLock<Arc<Roster>>,
    /// A link waits for its first attempt to connect.
    dial_due: AtomicBool,
}

/// The members of one view, as a shard sees them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    by_number: HashMap<MemberNo, Arc<Link>>,
    by_node: HashMap<NodeId, MemberNo>,
}

impl Roster {
    pub(super) fn number(&self, node: NodeId) -> Option<MemberNo> {
        self.by_node.get(&node).copied()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = MemberNo> {
        self.by_number.keys().copied()
    }

    pub(super) fn others(&self) -> impl Iterator<Item = NodeId> {
        self.by_number.values().map(|link| link.node)
    }

    pub(super) fn link(&self, member: MemberNo) -> Option<&Arc<Link>> {
        self.by_number.get(&member)
    }
}

impl Peers {
    pub(super) fn new(rpc: &Arc<Rpc>) -> Self {
        Self {
            rpc: Arc::clone(rpc),
            links: RwLock::default(),
            epoch: AtomicU64::new(0),
            roster: RwLock::default(),
            dial_due: AtomicBool::new(false),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Takes in a view, before any shard does.
    pub(super) fn view(&self, view: &NodeView) -> Arc<Roster> {
        self.epoch.fetch_max(view.departures, Ordering::AcqRel);
        let me = self.rpc.fabric().id();
        let mut roster = Roster::default();
        let mut links = self.links.write();
        for member in &view.members {
            roster.by_node.insert(member.node, MemberNo(member.number));
            if member.node != me {
                let link = links
                    .entry(member.node)
                    .or_insert_with(|| Arc::new(Link::new(member.node, &member.address)));
                roster.by_number.insert(MemberNo(member.number), Arc::clone(link));
            }
        }
        links.retain(|node, _| roster.by_node.contains_key(node));
        drop(links);
        for link in roster.by_number.values() {
            // It may have come up before it was a member; from here on `up` tells.
            if self.rpc.load(link.node).is_some_and(|load| load.up) {
                link.up(&self.rpc);
            }
        }
        let roster = Arc::new(roster);
        *self.roster.write() = Arc::clone(&roster);
        roster
    }

    /// Sends in the order of the calls, or later, or loses the connection's epoch. The caller holds the shard's lock.
    pub(super) fn send<M: Message>(&self, link: &Link, of: u64, message: &M, body: &[RegionSlice]) {
        if link.send(&self.rpc, of, message, body, self.epoch()) {
            self.dial_due.store(true, Ordering::Release);
        }
    }

    /// Notes that something came. True when others were lost before it, so that it must not be heard.
    pub(super) fn is_cut_off(&self, link: &Link, epoch: u64) -> bool {
        link.note_received();
        link.has_lost(epoch)
    }

    pub(super) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read())
    }

    pub(super) fn went_up(&self, node: NodeId) {
        if let Some(link) = self.link(node) {
            link.up(&self.rpc);
        }
    }

    pub(super) fn went_down(&self, node: NodeId) {
        if let Some(link) = self.link(node) {
            link.down(self.epoch());
        }
    }

    pub(super) fn writable(&self, node: NodeId) {
        if let Some(link) = self.link(node) {
            link.drain(&self.rpc, self.epoch());
        }
    }

    pub(super) fn disconnect(&self, node: NodeId) {
        self.rpc.fabric().disconnect(node);
    }

    /// Connects to members for whom something waits since a moment. Holds no lock while it does.
    pub(super) fn dial_new(&self) {
        if self.dial_due.swap(false, Ordering::AcqRel) {
            self.dial(self.rpc.fabric().now());
        }
    }

    /// Connects, sends what waits. Gives the epoch in which messages of a living member were lost, if it is still that one.
    pub(super) fn tick(&self, now: Nanos) -> Option<u64> {
        self.dial(now);
        let epoch = self.epoch();
        let links: Vec<_> = self.links.read().values().cloned().collect();
        for link in &links {
            link.drain(&self.rpc, epoch);
        }
        let broken = links.iter().any(|link| link.should_report(epoch, now, REDIAL_EVERY));
        broken.then_some(epoch)
    }

    fn dial(&self, now: Nanos) {
        let links: Vec<_> = self.links.read().values().cloned().collect();
        for link in links.iter().filter(|link| link.should_dial(now, REDIAL_EVERY, false)) {
            self.connect(link);
        }
    }

    /// Begins to connect to a member that somebody asks something.
    pub(super) fn reach(&self, node: NodeId) {
        let now = self.rpc.fabric().now();
        if let Some(link) = self.link(node).filter(|link| link.should_dial(now, REDIAL_EVERY, true)) {
            self.connect(&link);
        }
    }

    fn connect(&self, link: &Link) {
        if let Err(error) = self.rpc.fabric().connect(&link.address) {
            tracing::debug!(%error, address = link.address, "cannot connect to a member");
        }
    }

    fn link(&self, node: NodeId) -> Option<Arc<Link>> {
        self.links.read().get(&node).cloned()
    }
}

/// Whether a failed send may be tried again, without anything being lost.
pub(super) fn is_full(error: &CallError) -> bool {
    matches!(error, CallError::Full)
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}
