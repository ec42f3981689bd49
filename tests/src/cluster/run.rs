//! One run of one simulated cluster.

use std::fmt;
use std::time::Duration;

use scios::cluster::Standing;
use scios::verbs::Fabric;
use scios::verbs::sim::{SimConfig, SimNet};
use scios::{Nanos, NodeId};

use super::node::lock;
use super::{Call, Chance, Journal, Setup, SimNode, ViewSeen};
use crate::invariants::{Invariant, Seen, all};

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    pub invariant: &'static str,
    pub at: Nanos,
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant `{}` broken at {}: {}", self.invariant, self.at, self.what)
    }
}

/// A cluster and everything that is known about it.
pub struct World {
    pub net: SimNet,
    pub setup: Setup,
    pub journal: Journal,
    pub chance: Chance,
    /// Every place where a node runs or ran, with its present run.
    pub nodes: Vec<SimNode>,
    pub next_command: u64,
    pub last_crash: Option<Nanos>,
    invariants: Vec<Box<dyn Invariant>>,
    verbose: bool,
}

impl World {
    pub fn new(seed: u64, config: SimConfig, setup: Setup) -> Self {
        Self {
            net: SimNet::new(seed, config),
            setup,
            journal: Journal::default(),
            chance: Chance::new(seed ^ 0x5c1f5),
            nodes: Vec::new(),
            next_command: 1,
            last_crash: None,
            invariants: all(),
            verbose: std::env::var_os("SCIFS_VERBOSE").is_some(),
        }
    }

    fn fresh_id(&mut self) -> NodeId {
        loop {
            if let Some(id) = NodeId::new(self.chance.draw()) {
                return id;
            }
        }
    }

    /// A node on a new host. The first founds the cluster, the others join through any of the hosts there are.
    pub fn add(&mut self) -> NodeId {
        self.add_named(&format!("node-{}", self.nodes.len() + 1), self.addresses_but(None))
    }

    /// A node of this name that joins through these addresses, or founds a cluster if there are none.
    pub fn add_named(&mut self, name: &str, join: Vec<String>) -> NodeId {
        let id = self.fresh_id();
        let fabric = self.net.add_node(SimNode::fabric_config(id));
        let name = name.to_owned();
        let random = self.chance.draw();
        let node = SimNode::start(fabric, name, join, &self.setup, &self.journal, random);
        self.note(|| format!("{id} starts as {}", node.name));
        self.nodes.push(node);
        id
    }

    /// The node at this place runs anew, as after a crash: another id, the same name and address.
    pub fn restart(&mut self, at: usize) {
        let id = self.fresh_id();
        let (old, name) = (self.nodes[at].id, self.nodes[at].name.clone());
        self.nodes[at].dismantle();
        let fabric = self.net.restart(old, SimNode::fabric_config(id));
        let join = self.addresses_but(Some(at));
        let random = self.chance.draw();
        self.note(|| format!("{old} ({name}) restarts as {id}"));
        self.nodes[at] = SimNode::start(fabric, name, join, &self.setup, &self.journal, random);
    }

    fn addresses_but(&self, at: Option<usize>) -> Vec<String> {
        let others = self.nodes.iter().enumerate().filter(|(i, n)| Some(*i) != at && !n.leaving);
        others.map(|(_, n)| n.fabric.address()).collect()
    }

    /// Says what is done, when asked for by SCIFS_VERBOSE.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("[{}] {}", self.net.now(), what());
        }
    }

    /// Lets one thing happen and looks at every invariant. False if nothing can happen any more.
    pub fn step(&mut self) -> Result<bool, Failure> {
        let moved = self.net.step();
        let views: Vec<ViewSeen> = std::mem::take(&mut *lock(&self.journal.views));
        for (node, view) in &views {
            self.note(|| {
                let names: Vec<_> = view.members().map(|m| format!("{}#{}", m.name, m.number)).collect();
                format!("{node} sees epoch {}: {}", view.epoch, names.join(" "))
            });
            self.look(&Seen::View { node: *node, view })?;
        }
        self.look(&Seen::Step)?;
        Ok(moved)
    }

    pub fn look(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        let mut invariants = std::mem::take(&mut self.invariants);
        let broken = invariants.iter_mut().find_map(|i| Some((i.name(), i.look(self, seen).err()?)));
        self.invariants = invariants;
        match broken {
            None => Ok(()),
            Some((invariant, what)) => Err(Failure { invariant, at: self.net.now(), what }),
        }
    }

    /// Steps until `done` or for `time`; says whether it was `done`.
    pub fn run(&mut self, time: Duration, mut done: impl FnMut(&Self) -> bool) -> Result<bool, Failure> {
        let deadline = self.net.now() + time;
        while self.net.now() < deadline {
            if done(self) {
                return Ok(true);
            }
            if !self.step()? {
                // Everybody stands still: only time passes.
                self.net.run_for(Duration::from_nanos(deadline.0 - self.net.now().0));
            }
        }
        Ok(done(self))
    }

    /// The node that runs with this id.
    pub fn node(&self, id: NodeId) -> &SimNode {
        self.nodes.iter().find(|n| n.id == id).expect("a node of this world")
    }

    /// The node that leads, with a quorum behind it.
    pub fn leader(&self) -> Option<NodeId> {
        let leads = |n: &&SimNode| n.is_live() && n.cluster.with(|c| c.has_authority(n.fabric.now()));
        self.nodes.iter().find(leads).map(|n| n.id)
    }

    /// As a kill of the process.
    pub fn crash(&mut self, id: NodeId) {
        self.note(|| format!("{id} crashes"));
        self.net.crash(id);
        self.last_crash = Some(self.net.now());
        if let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) {
            node.dismantle();
            (node.crashed, node.paused) = (true, false);
        }
    }

    /// Every command that was called so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.journal.calls).clone()
    }

    /// Every live node serves, and all agree that exactly the live nodes are the members.
    pub fn is_converged(&self) -> bool {
        let live: Vec<&SimNode> = self.nodes.iter().filter(|n| n.is_live()).collect();
        let Some(first) = live.first() else { return false };
        let view = first.cluster.view();
        view.len() == live.len()
            && live.iter().all(|n| view.contains(n.id) && n.cluster.may_act())
            && live.iter().all(|n| n.cluster.view() == view)
            && live.iter().all(|n| n.cluster.with(|c| c.standing(n.fabric.now())) == Standing::Serving)
    }

    /// Whether as many nodes vote as should, and all know it.
    pub fn has_all_voters(&self) -> bool {
        self.nodes.iter().filter(|n| n.is_live()).all(|n| n.cluster.status().voters_settled)
    }

    /// What every node says of itself, for a failure's report.
    pub fn describe(&self) -> String {
        let line = |n: &SimNode| {
            let s = n.cluster.status();
            let what = if n.crashed { "crashed".into() } else { format!("{:?}", s.standing) };
            let who = |id: Option<NodeId>| id.map_or_else(|| "nobody".into(), |id| id.to_string());
            format!(
                "  {} {}: {what}, epoch {}, {} members, term {}, leader {}, voters {:?}/{:?}, applied {}, {}{}{}\n",
                n.id,
                n.name,
                s.view.epoch,
                s.view.len(),
                s.term,
                who(s.leader),
                s.voters,
                s.voters_outgoing,
                s.applied,
                s.quorum,
                if n.paused { ", paused" } else { "" },
                n.end().map_or_else(String::new, |e| format!(", {e:?}")),
            )
        };
        self.nodes.iter().map(line).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.nodes.iter().for_each(SimNode::dismantle);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
