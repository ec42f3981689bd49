//! What a case works with: nodes in a world, and words for what cases do again and again.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use scios::memory::{Region, RegionSlice};
use scios::verbs::{
    DownReason, Event, Fabric, FabricConfig, FabricError, OpError, OpId, Operation, RemoteKey, Rights,
    SendError,
};
use scios::{Nanos, NodeId};

use super::recorder::{Recorder, Seen};
use super::signal::Signal;
use super::world::{Place, Process, World};

/// A grant that outlives every case.
pub const LONG: std::time::Duration = std::time::Duration::from_secs(3_600);

pub struct Lab<'w> {
    world: &'w dyn World,
    signal: Arc<Signal>,
    nodes: RefCell<Vec<Arc<Node>>>,
    next_id: Cell<u64>,
}

/// A node of the case, which sees everything that it is told.
pub struct Node {
    pub id: NodeId,
    pub fabric: Arc<dyn Fabric>,
    pub seen: Arc<Recorder>,
}

impl<'w> Lab<'w> {
    pub fn new(world: &'w dyn World) -> Self {
        Self { world, signal: Arc::default(), nodes: RefCell::default(), next_id: Cell::new(1) }
    }

    /// The usual configuration with an id that is new in this case.
    pub fn config(&self) -> FabricConfig {
        let id = self.next_id.replace(self.next_id.get() + 1);
        // Far apart, so that nothing that mixes up ids and counts goes unnoticed.
        let id = NodeId::new(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).expect("an odd factor never gives zero");
        self.world.config(id)
    }

    pub fn node(&self) -> Arc<Node> {
        self.node_with(self.config())
    }

    pub fn node_with(&self, config: FabricConfig) -> Arc<Node> {
        let id = config.id;
        let fabric = self.fabric(config).unwrap_or_else(|error| panic!("no node: {error}"));
        assert_eq!(fabric.id(), id);
        let seen = Arc::new(Recorder::new(Arc::clone(&self.signal)));
        fabric.start(seen.clone()).expect("start");
        let node = Arc::new(Node { id, fabric, seen });
        self.nodes.borrow_mut().push(Arc::clone(&node));
        node
    }

    /// What is not started, or not even made.
    pub fn fabric(&self, config: FabricConfig) -> Result<Arc<dyn Fabric>, FabricError> {
        self.world.fabric(config)
    }

    /// Two nodes that are up for each other.
    pub fn pair(&self) -> (Arc<Node>, Arc<Node>) {
        let (a, b) = (self.node(), self.node());
        self.join(&a, &b);
        (a, b)
    }

    pub fn join(&self, a: &Node, b: &Node) {
        let (ups_a, ups_b) = (a.ups(b.id), b.ups(a.id));
        a.fabric.connect(&b.fabric.address()).expect("connect");
        self.wait("both to be up", || a.ups(b.id) > ups_a && b.ups(a.id) > ups_b);
    }

    pub fn process(&self, config: FabricConfig) -> Box<dyn Process> {
        self.world.process(config)
    }

    pub fn stranger(&self) -> Place {
        self.world.stranger()
    }

    pub fn mute(&self) -> Place {
        self.world.mute()
    }

    pub fn nobody(&self) -> Place {
        self.world.nobody()
    }

    pub fn hold(&self, node: &Node) {
        self.world.hold(node.id, &node.seen);
    }

    pub fn release(&self, node: &Node) {
        self.world.release(node.id, &node.seen);
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        if !self.world.wait(&self.signal, &mut done) {
            let logs: Vec<_> = self.nodes.borrow().iter().map(|node| format!("\n  {node:?}")).collect();
            panic!("waited in vain for {what}; seen:{}", logs.concat());
        }
    }

    /// Lets time pass in which something that must not happen could: fifty ticks of a node.
    pub fn let_time_pass(&self, node: &Node) {
        let until = node.seen.ticks() + 50;
        self.wait("ticks", || node.seen.ticks() >= until);
    }

    pub fn wait_down(&self, node: &Node, peer: NodeId) -> DownReason {
        self.wait("a peer to be down", || node.down(peer).is_some());
        node.down(peer).expect("just seen")
    }

    /// Sends, and waits for room where there is none.
    pub fn send(&self, from: &Node, to: NodeId, head: &[u8], body: &[RegionSlice]) {
        self.with_room(from, to, || from.fabric.send(to, head, body));
    }

    /// Begins an operation, and waits for room where there is none.
    pub fn post(&self, from: &Node, to: NodeId, op: u64, operation: &Operation<'_>) {
        self.with_room(from, to, || from.post(to, op, operation.clone()));
    }

    fn with_room(&self, from: &Node, to: NodeId, mut begin: impl FnMut() -> Result<(), SendError>) {
        loop {
            let before = from.writables(to);
            match begin() {
                Ok(()) => return,
                Err(SendError::Full) => {
                    self.wait("room to send", || from.writables(to) > before);
                }
                Err(error) => panic!("cannot send: {error}"),
            }
        }
    }

    /// Carries out one operation.
    pub fn run(&self, from: &Node, to: NodeId, op: u64, operation: &Operation<'_>) -> Result<u64, OpError> {
        self.post(from, to, op, operation);
        self.result(from, to, op)
    }

    pub fn result(&self, from: &Node, to: NodeId, op: u64) -> Result<u64, OpError> {
        self.wait("an operation to end", || from.result(to, op).is_some());
        from.result(to, op).expect("just seen")
    }

    /// A message there and back, behind everything that was sent before.
    pub fn round_trip(&self, a: &Node, b: &Node) {
        for (from, to) in [(a, b), (b, a)] {
            let ping = format!("ping {}", to.seen.with(<[Seen]>::len));
            self.send(from, to.id, ping.as_bytes(), &[]);
            self.wait("a ping", || to.has_message(from.id, ping.as_bytes()));
        }
    }

    /// What every node saw must be a possible story.
    pub fn verdict(&self) -> Result<(), String> {
        for node in self.nodes.borrow().iter() {
            node.seen.verdict().map_err(|what| format!("{what}; {} saw {:?}", node.id, node.seen))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Lab<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").field("nodes", &self.nodes.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.id, self.seen)
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for node in self.nodes.borrow().iter() {
            // A held handler would be waited for.
            node.seen.release();
            node.fabric.stop();
            node.seen.react(None);
        }
    }
}

impl Node {
    pub fn ups(&self, peer: NodeId) -> usize {
        self.seen.tally(peer, |tally| tally.ups)
    }

    pub fn downs(&self, peer: NodeId) -> usize {
        self.seen.tally(peer, |tally| tally.downs)
    }

    /// Why the peer was last lost.
    pub fn down(&self, peer: NodeId) -> Option<DownReason> {
        self.seen.tally(peer, |tally| tally.reason.clone())
    }

    pub fn messages(&self, peer: NodeId) -> Vec<Vec<u8>> {
        self.seen.with(|log| {
            let of_peer = log.iter().filter_map(|seen| match seen {
                Seen::Message { peer: p, bytes } if *p == peer => Some(bytes.clone()),
                _ => None,
            });
            of_peer.collect()
        })
    }

    pub fn has_message(&self, peer: NodeId, expected: &[u8]) -> bool {
        self.seen.with(|log| {
            log.iter().rev().any(
                |seen| matches!(seen, Seen::Message { peer: p, bytes } if *p == peer && bytes == expected),
            )
        })
    }

    pub fn message_count(&self, peer: NodeId) -> usize {
        self.seen.tally(peer, |tally| tally.messages)
    }

    pub fn writables(&self, peer: NodeId) -> usize {
        self.seen.tally(peer, |tally| tally.writables)
    }

    /// How many operations to this peer have ended.
    pub fn done_count(&self, peer: NodeId) -> usize {
        self.seen.tally(peer, |tally| tally.done.len())
    }

    pub fn post(&self, to: NodeId, op: u64, operation: Operation<'_>) -> Result<(), SendError> {
        self.seen.begin(to, OpId(op));
        let begun = self.fabric.post(to, OpId(op), operation);
        if begun.is_err() {
            self.seen.unbegin(to, OpId(op));
        }
        begun
    }

    pub fn result(&self, peer: NodeId, op: u64) -> Option<Result<u64, OpError>> {
        self.seen.tally(peer, |tally| tally.done.get(&OpId(op)).copied())
    }

    pub fn react(&self, reaction: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.seen.react(Some(Arc::new(reaction)));
    }

    /// New memory of this node, all of it granted to a peer.
    pub fn lend(&self, to: NodeId, bytes: u64, rights: Rights) -> (Arc<Region>, RemoteKey) {
        let region = region(bytes);
        let until = self.later();
        let key = self.fabric.grant(to, &region.whole(), rights, until).expect("grant");
        (region, key)
    }

    pub fn later(&self) -> Nanos {
        self.fabric.now() + LONG
    }
}

pub fn region(bytes: u64) -> Arc<Region> {
    Region::new("conformance", bytes).expect("memory for the test")
}

/// Memory with these bytes in it.
pub fn filled(bytes: &[u8]) -> RegionSlice {
    let slice = region(bytes.len().max(1) as u64).slice(0, bytes.len()).expect("in range");
    slice.write_from(bytes).expect("in range");
    slice
}

/// Bytes that differ at each place and for each seed.
pub fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}
