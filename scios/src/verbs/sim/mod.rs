//! The simulated fabric: any number of nodes in one process, on one thread, in virtual time. All chance comes from one
//! seed, so a run can be repeated byte for byte.
//!
//! ```text
//! let net = SimNet::new(seed, SimConfig::default());
//! let node = net.add_node(FabricConfig::new(id));
//! node.start(handler)?;
//! net.run_until(deadline, |net| everything_is_done(net));
//! ```
//!
//! Nothing happens between calls of `step`: each lets one thing happen and calls the handlers that it concerns, on the
//! caller's thread, with no lock held. What is simulated is what the contract of [`Fabric`](crate::verbs::Fabric) leaves
//! open, and nothing beyond: frames take any time, memory is read early or late, an answer overtakes a message, a
//! close swallows what was under way or not.
//!
//! - `net`: the state, and how frames travel; `queue`: what will happen;
//! - `conn`, `handshake`, `closing`, `transfer`: a connection's life;
//! - `faults`: what is done to it.

mod call;
mod clock;
mod closing;
mod config;
mod conn;
mod fabric;
mod faults;
mod grants;
mod handshake;
mod net;
mod node;
mod queue;
mod random;
mod trace;
mod transfer;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::call::Call;
use self::clock::Clock;
pub use self::config::SimConfig;
pub use self::fabric::SimFabric;
use self::net::{Host, Net};
use self::node::Node;
use crate::verbs::FabricConfig;
use crate::{Nanos, NodeId};

/// A simulated network, and the hand that moves it.
///
/// Nodes are named by their ids here, also after their end; a name that was never given is a mistake of the test
/// and panics.
pub struct SimNet {
    net: Arc<Mutex<Net>>,
    calls: RefCell<Vec<Call>>,
}

impl SimNet {
    pub fn new(seed: u64, config: SimConfig) -> Self {
        Self { net: Arc::new(Mutex::new(Net::new(seed, config))), calls: RefCell::default() }
    }

    /// A node on a machine of its own, which is called `sim-1`, `sim-2` and so on. `listen` is not used.
    pub fn add_node(&self, config: FabricConfig) -> Arc<SimFabric> {
        let host = self.add_host();
        self.place(host, config)
    }

    /// The address of something that listens and isn't SciFS.
    pub fn add_stranger(&self) -> String {
        let host = self.add_host();
        self.net.lock().hosts[host].address.clone()
    }

    /// A new node at the address of another, which is crashed first if it still runs. Partitions stay.
    pub fn restart(&self, old: NodeId, config: FabricConfig) -> Arc<SimFabric> {
        let old = self.node(old);
        let handler = self.net.lock().crash(old);
        drop(handler);
        let host = self.net.lock().nodes[old].host;
        let fabric = self.place(host, config);
        self.net.lock().came_back(old);
        fabric
    }

    /// Lets the next thing happen. `false` if there is nothing that ever will.
    pub fn step(&self) -> bool {
        let mut calls = self.calls.try_borrow_mut().expect("step was called from within a handler");
        {
            let mut net = self.net.lock();
            if !net.advance() {
                return false;
            }
            std::mem::swap(&mut *calls, &mut net.calls);
        }
        for call in calls.drain(..) {
            call.make();
        }
        true
    }

    /// Steps until `done` or until the virtual time is `deadline`; says whether it was `done`.
    pub fn run_until(&self, deadline: Nanos, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let more = self.net.lock().queue.next_at().is_some_and(|at| at <= deadline);
            if !more {
                let mut net = self.net.lock();
                net.now = net.now.max(deadline);
                return false;
            }
            self.step();
        }
    }

    /// Lets everything happen that does within `time`.
    pub fn run_for(&self, time: Duration) {
        self.run_until(self.now() + time, |_| false);
    }

    /// The true time. Nodes see it through their own clocks.
    pub fn now(&self) -> Nanos {
        self.net.lock().now
    }

    /// How many things have happened.
    pub fn events(&self) -> u64 {
        self.net.lock().trace.events
    }

    /// A digest of all that happened and of every byte that was told to a node. Equal for equal seeds.
    pub fn trace_digest(&self) -> u64 {
        self.net.lock().trace.digest()
    }

    /// Nothing gets through between the two groups any more, in both directions.
    pub fn partition(&self, some: &[NodeId], others: &[NodeId]) {
        let (some, others) = (self.hosts(some), self.hosts(others));
        let mut net = self.net.lock();
        net.block(&some, &others);
        net.block(&others, &some);
    }

    /// Nothing gets through from one group to the other any more; the way back stays as it is.
    pub fn partition_one_way(&self, from: &[NodeId], to: &[NodeId]) {
        let (from, to) = (self.hosts(from), self.hosts(to));
        self.net.lock().block(&from, &to);
    }

    /// Opens all ways between two groups, in both directions.
    pub fn heal_between(&self, some: &[NodeId], others: &[NodeId]) {
        let (some, others) = (self.hosts(some), self.hosts(others));
        let mut net = self.net.lock();
        net.open(&some, &others);
        net.open(&others, &some);
    }

    /// Opens all ways.
    pub fn heal(&self) {
        self.net.lock().heal();
    }

    /// The node ends at once. Its handler is dropped and hears nothing any more; its fabric refuses everything. Whether
    /// its peers are reset or find out by its silence, `SimConfig::crash_resets` says.
    pub fn crash(&self, node: NodeId) {
        let node = self.node(node);
        let handler = self.net.lock().crash(node);
        drop(handler);
    }

    /// As SIGSTOP: the node does nothing and notices nothing until `resume`.
    pub fn pause(&self, node: NodeId) {
        let node = self.node(node);
        self.net.lock().pause(node);
    }

    pub fn resume(&self, node: NodeId) {
        let node = self.node(node);
        self.net.lock().resume(node);
    }

    /// From now on the node's clock gains `ppm` millionths, or loses them.
    pub fn set_drift(&self, node: NodeId, ppm: i64) {
        assert!(ppm > -1_000_000, "a clock does not go back");
        let node = self.node(node);
        let mut net = self.net.lock();
        let now = net.now;
        net.nodes[node].clock.set_drift(now, ppm);
    }

    /// Puts the node's clock forward, as a machine that was suspended may find it.
    pub fn jump_clock(&self, node: NodeId, by: Duration) {
        let node = self.node(node);
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.net.lock().nodes[node].clock.jump(by);
    }

    /// Bytes queued and operations under way from one node to another; zero if they aren't connected.
    pub fn load(&self, from: NodeId, to: NodeId) -> (usize, usize) {
        let node = self.node(from);
        let net = self.net.lock();
        let link = net.nodes[node].peers.get(&to);
        link.and_then(|(conn, side)| Some(net.conn(*conn)?.look(*side).load())).unwrap_or_default()
    }

    fn add_host(&self) -> usize {
        let mut net = self.net.lock();
        let host = net.hosts.len();
        let address = format!("sim-{}:7000", host + 1);
        net.by_address.insert(address.clone(), host);
        net.hosts.push(Host { address, node: None });
        host
    }

    fn place(&self, host: usize, config: FabricConfig) -> Arc<SimFabric> {
        let mut net = self.net.lock();
        let id = config.id;
        assert!(net.nodes.iter().all(|node| node.id != id), "node {id} exists already");
        let (skew, drift) = (net.config.skew_ms_max, u64::from(net.config.drift_ppm_max));
        let shown = Nanos(net.now.0 + net.random.up_to(skew * 1_000_000));
        let drift = net.random.up_to(2 * drift) as i64 - drift as i64;
        let clock = Clock::new(shown, net.now, drift);
        let node = net.nodes.len();
        net.nodes.push(Node::new(host, config, clock));
        net.hosts[host].node = Some(node);
        let address = net.hosts[host].address.clone();
        Arc::new(SimFabric { net: Arc::clone(&self.net), node, id, address })
    }

    fn node(&self, id: NodeId) -> usize {
        let found = self.net.lock().nodes.iter().position(|node| node.id == id);
        found.unwrap_or_else(|| panic!("no node {id} was ever added to this simulation"))
    }

    fn hosts(&self, ids: &[NodeId]) -> Vec<usize> {
        ids.iter().map(|id| self.node(*id)).map(|node| self.net.lock().nodes[node].host).collect()
    }
}

impl Drop for SimNet {
    /// Handlers hold their fabrics, and those hold the network.
    fn drop(&mut self) {
        let handlers = self.net.lock().end_all();
        drop(handlers);
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("net", &*self.net.lock()).finish_non_exhaustive()
    }
}
