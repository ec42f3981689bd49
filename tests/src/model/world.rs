//! A small cluster as one value: everything that can happen next, and what each of those leads to.
//!
//! Stations are shared between states and their hashes kept, so a step costs what it changes.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use scifs::coherence::{
    Config, Effects, Engine, Epoch, Input, MapperId, Member, MemberNo, PageId, PageState, View,
};
use scios::Nanos;

use super::fingerprint::fingerprint;
use super::invariants::Look;
use super::station::{Clock, Op, Output, Packet, Station};
use super::violation::Violation;

/// What is explored: the size of the cluster and what its programs and its bad luck may do.
#[derive(Clone, Debug)]
pub struct Scope {
    pub config: Arc<Config>,
    /// The mappers of each node's threads.
    pub threads: Vec<Vec<MapperId>>,
    /// What each operation of a thread may be.
    pub ops: Vec<Op>,
    pub ops_per_thread: u32,
    /// Surfaces answer in the same step.
    pub prompt: bool,
    pub evictions: u8,
    pub crashes: u8,
    pub restarts: u8,
    /// Changes of epoch in which nobody leaves.
    pub shocks: u8,
    /// How many leave in an orderly way.
    pub leaves: u8,
    /// Who can die or leave.
    pub mortals: Vec<usize>,
    /// Nodes know the homes already.
    pub warm: bool,
    /// Messages across epochs are delivered like others. Otherwise those that are too old vanish at once and those that are
    /// too new wait in the network, which comes to the same: an engine drops the former and keeps the latter, in order,
    /// until its view comes. Far fewer states.
    pub mixed_epochs: bool,
}

#[derive(Clone, Debug)]
pub struct Node {
    station: Option<Arc<Station>>,
    hash: u64,
    /// How many views it has been told of.
    views: u8,
}

/// A packet and its hash.
type Sent = Arc<(u64, Packet)>;

#[derive(Clone, Debug)]
pub struct World {
    pub nodes: Vec<Node>,
    /// In flight, in the order of sending.
    net: Vec<(MemberNo, MemberNo, Sent)>,
    clock: Clock,
    views: Arc<Vec<View>>,
    evictions: u8,
    crashes: u8,
    restarts: u8,
    shocks: u8,
    leaves: u8,
    /// Who said in which epoch that it has handed over everything.
    promised: Option<(usize, Epoch)>,
    /// Nobody has died.
    unharmed: bool,
    /// Pages that can't be lost, since only survivors had copies and nothing was under way, or since who had some handed them over.
    safe: BTreeSet<PageId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Begin {
        node: usize,
        thread: usize,
        op: Op,
    },
    Deliver {
        from: MemberNo,
        to: MemberNo,
    },
    Release {
        node: usize,
        page: PageId,
        mapper: MapperId,
    },
    Timer {
        node: usize,
        page: PageId,
    },
    View {
        node: usize,
    },
    Evict {
        node: usize,
        page: PageId,
    },
    Crash {
        node: usize,
    },
    Restart {
        node: usize,
    },
    /// A node begins to leave in an orderly way.
    Leave {
        node: usize,
    },
    /// It says that it has handed over everything.
    Promise {
        node: usize,
    },
    /// And goes. What it said holds as long as the epoch is the same.
    Depart {
        node: usize,
    },
    /// The epoch changes, though nobody leaves: a connection broke, says the membership.
    Shock,
}

impl World {
    pub fn new(scope: &Scope) -> Result<Self, Violation> {
        let members: Vec<_> =
            (0..scope.threads.len() as u32).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
        let view = View { epoch: Epoch(1), members, handed_over: None };
        let mut world = Self {
            nodes: Vec::new(),
            net: Vec::new(),
            clock: Clock::new(),
            views: Arc::new(vec![view.clone()]),
            evictions: scope.evictions,
            crashes: scope.crashes,
            restarts: scope.restarts,
            shocks: scope.shocks,
            leaves: scope.leaves,
            promised: None,
            unharmed: true,
            safe: BTreeSet::new(),
        };
        for (no, mappers) in scope.threads.iter().enumerate() {
            let (engine, _) = Engine::new(MemberNo(no as u32), Arc::clone(&scope.config), view.clone());
            world.nodes.push(Node::new(Station::new(engine, mappers, scope.prompt), 1));
        }
        if scope.warm {
            world.warm_up(scope)?;
        }
        Ok(world)
    }

    /// Lets every node ask for the homes, and cancels what it asked them for.
    fn warm_up(&mut self, scope: &Scope) -> Result<(), Violation> {
        for op in &scope.ops {
            let page = op.parts().0;
            for node in 0..self.nodes.len() {
                let mut out = Output::default();
                self.with(node, |station, clock| station.look_up(page, clock, &mut out))?;
                self.absorb(node, out);
                while let Some((from, to, _)) = self.net.first() {
                    let (from, to) = (*from, *to);
                    self.deliver(from, to)?;
                }
            }
        }
        Ok(())
    }

    pub fn steps(&self, scope: &Scope) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut pairs = Vec::new();
        for (from, to, packet) in &self.net {
            if !pairs.contains(&(*from, *to)) {
                pairs.push((*from, *to));
                if scope.mixed_epochs || Some(packet.1.message.epoch) == self.epoch(*to) {
                    steps.push(Step::Deliver { from: *from, to: *to });
                }
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(station) = &node.station else {
                if self.restarts > 0 {
                    steps.push(Step::Restart { node: at });
                }
                continue;
            };
            if usize::from(node.views) < self.views.len() {
                steps.push(Step::View { node: at });
            }
            steps.extend(station.leaving.keys().map(|(page, mapper)| Step::Release {
                node: at,
                page: *page,
                mapper: *mapper,
            }));
            steps.extend(station.timers.iter().map(|page| Step::Timer { node: at, page: *page }));
            for (thread, state) in station.threads.iter().enumerate() {
                if !station.is_leaving() && state.doing.is_none() && state.done < scope.ops_per_thread {
                    steps.extend(scope.ops.iter().map(|op| Step::Begin { node: at, thread, op: *op }));
                }
            }
            if self.evictions > 0 {
                steps.extend(station.engine.pages().map(|p| Step::Evict { node: at, page: p.page }));
            }
            if self.leaves > 0
                && !station.is_leaving()
                && scope.mortals.contains(&at)
                && self.heir(at).is_some()
            {
                steps.push(Step::Leave { node: at });
            }
            let epoch = self.views.last().map_or(Epoch(0), |view| view.epoch);
            if self.promised == Some((at, epoch)) {
                steps.push(Step::Depart { node: at });
            } else if station.engine.has_handed_over() && station.engine.epoch() == epoch {
                steps.push(Step::Promise { node: at });
            }
            if self.crashes > 0 && scope.mortals.contains(&at) {
                steps.push(Step::Crash { node: at });
            }
        }
        if self.shocks > 0 {
            steps.push(Step::Shock);
        }
        steps
    }

    pub fn take(&mut self, scope: &Scope, step: Step) -> Result<(), Violation> {
        let now = Nanos::ZERO;
        let mut out = Output::default();
        match step {
            Step::Begin { node, thread, op } => {
                self.with(node, |s, clock| s.begin(now, thread, op, 1, clock, &mut out))?;
                self.absorb(node, out);
            }
            Step::Deliver { from, to } => self.deliver(from, to)?,
            Step::Release { node, page, mapper } => {
                self.with(node, |s, clock| s.release(now, page, mapper, clock, &mut out))?;
                self.absorb(node, out);
            }
            Step::Timer { node, page } => {
                self.with(node, |s, clock| s.feed(Nanos::MAX, Input::Timer { page }, &[], clock, &mut out))?;
                self.absorb(node, out);
            }
            Step::View { node } => {
                let views = Arc::clone(&self.views);
                for view in views.iter().skip(usize::from(self.nodes[node].views)).cloned() {
                    self.nodes[node].views += 1;
                    self.with(node, |s, clock| s.feed(now, Input::View(view), &[], clock, &mut out))?;
                }
                self.absorb(node, out);
            }
            Step::Evict { node, page } => {
                self.evictions -= 1;
                self.with(node, |s, clock| s.feed(now, Input::Evict { page }, &[], clock, &mut out))?;
                self.absorb(node, out);
            }
            Step::Leave { node } => {
                self.leaves -= 1;
                let heir = self.heir(node).unwrap_or(MemberNo(node as u32));
                self.with(node, |s, clock| s.leave(now, heir, clock, &mut out))?;
                self.absorb(node, out);
            }
            Step::Promise { node } => {
                self.promised = self.views.last().map(|view| (node, view.epoch));
            }
            Step::Depart { node } => {
                let safe = if self.unharmed {
                    scope.ops.iter().map(|op| op.parts().0).collect()
                } else {
                    BTreeSet::new()
                };
                self.remove(node, safe, Some(MemberNo(node as u32)));
            }
            Step::Crash { node } => self.crash(node),
            Step::Restart { node } => self.restart(scope, node)?,
            Step::Shock => self.shock(),
        }
        if !scope.mixed_epochs && self.crashed() {
            let epochs: Vec<_> = (0..self.nodes.len() as u32).map(|no| self.epoch(MemberNo(no))).collect();
            self.net.retain(|(_, to, packet)| {
                epochs[to.0 as usize].is_some_and(|epoch| packet.1.message.epoch >= epoch)
            });
        }
        Ok(())
    }

    fn epoch(&self, no: MemberNo) -> Option<Epoch> {
        self.nodes[no.0 as usize].station.as_ref().map(|s| s.engine.epoch())
    }

    fn deliver(&mut self, from: MemberNo, to: MemberNo) -> Result<(), Violation> {
        let Some(at) = self.net.iter().position(|(a, b, _)| (*a, *b) == (from, to)) else { return Ok(()) };
        let (_, _, packet) = self.net.remove(at);
        let mut out = Output::default();
        let node = to.0 as usize;
        self.with(node, |station, clock| {
            let input = Input::Message { from, message: packet.1.message.clone() };
            station.feed(Nanos::ZERO, input, &packet.1.data, clock, &mut out)
        })?;
        self.absorb(node, out);
        Ok(())
    }

    /// It takes its memory along. What it had sent may still arrive; what was sent to it never does.
    fn crash(&mut self, node: usize) {
        self.crashes -= 1;
        self.unharmed = false;
        self.remove(node, self.safe_without(node), None);
    }

    /// Who gets what the node hands over.
    fn heir(&self, node: usize) -> Option<MemberNo> {
        let others = (1..self.nodes.len()).map(|n| (node + n) % self.nodes.len());
        let heir = { others }.find(|other| self.nodes[*other].station.is_some());
        heir.map(|heir| MemberNo(heir as u32))
    }

    fn remove(&mut self, node: usize, safe: BTreeSet<PageId>, handed_over: Option<MemberNo>) {
        self.safe = safe;
        self.nodes[node].station = None;
        self.nodes[node].hash = 0;
        let gone = MemberNo(node as u32);
        self.net.retain(|(_, to, _)| *to != gone);
        let last = self.views[self.views.len() - 1].clone();
        let members = last.members.iter().filter(|m| m.no != gone).copied().collect();
        Arc::make_mut(&mut self.views).push(View { epoch: Epoch(last.epoch.0 + 1), members, handed_over });
    }

    fn shock(&mut self) {
        self.shocks -= 1;
        let mut view = self.views[self.views.len() - 1].clone();
        view.epoch.0 += 1;
        view.handed_over = None;
        Arc::make_mut(&mut self.views).push(view);
    }

    fn restart(&mut self, scope: &Scope, node: usize) -> Result<(), Violation> {
        self.restarts -= 1;
        let mut view = self.views[self.views.len() - 1].clone();
        view.members.push(Member { no: MemberNo(node as u32), joined: view.epoch });
        view.members.sort_by_key(|m| m.no);
        Arc::make_mut(&mut self.views).push(view.clone());
        let (engine, hello) = Engine::new(MemberNo(node as u32), Arc::clone(&scope.config), view);
        let mut station = Station::new(engine, &scope.threads[node], scope.prompt);
        let mut out = Output::default();
        self.hello(&mut station, hello, &mut out)?;
        self.nodes[node] = Node::new(station, self.views.len() as u8);
        self.absorb(node, out);
        Ok(())
    }

    fn hello(&mut self, station: &mut Station, hello: Effects, out: &mut Output) -> Result<(), Violation> {
        station.perform(hello, None, &[], &mut self.clock, out).map(drop)
    }

    fn safe_without(&self, dead: usize) -> BTreeSet<PageId> {
        let dead = MemberNo(dead as u32);
        let held = |s: &Station, page| s.engine.page(page).is_some_and(|p| p.state.has_frame() || p.busy);
        let mut safe: BTreeSet<PageId> = (self.stations().flat_map(|(_, s)| s.engine.pages()))
            .filter(|p| matches!(p.state, PageState::Shared | PageState::Exclusive))
            .map(|p| p.page)
            .collect();
        safe.retain(|page| {
            self.stations().all(|(no, s)| {
                (no != dead || !held(s, *page))
                    && !s.engine.page(*page).is_some_and(|p| p.busy)
                    && !s.engine.homes().any(|h| h.page == *page && h.busy)
            }) && !self.net.iter().any(|(_, _, p)| p.1.message.page == *page)
        });
        safe
    }

    fn with(
        &mut self,
        node: usize,
        step: impl FnOnce(&mut Station, &mut Clock) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[node];
        if let Some(station) = &mut node.station {
            let station = Arc::make_mut(station);
            step(station, &mut self.clock)?;
            node.hash = fingerprint(station);
        }
        Ok(())
    }

    fn absorb(&mut self, node: usize, out: Output) {
        let from = MemberNo(node as u32);
        for (to, packet) in out.sent {
            if self.nodes[to.0 as usize].station.is_some() {
                self.net.push((from, to, Arc::new((fingerprint(&packet), packet))));
            }
        }
    }

    /// Equal for equal worlds. The order of messages counts only within a pair.
    pub fn fingerprint(&self) -> u64 {
        let mut net: Vec<_> = self.net.iter().map(|(from, to, packet)| (*from, *to, packet.0)).collect();
        net.sort_by_key(|(from, to, _)| (*from, *to));
        let nodes: Vec<_> = self.nodes.iter().map(|n| (n.hash, n.views)).collect();
        let luck = (
            self.evictions,
            self.crashes,
            self.restarts,
            self.shocks,
            self.leaves,
            self.unharmed,
            self.promised,
        );
        let luck = (luck, &self.safe, self.views.len(), self.views.last().map(|view| view.handed_over));
        fingerprint(&(nodes, net, &self.clock, luck))
    }

    fn stations(&self) -> impl Iterator<Item = (MemberNo, &Station)> {
        self.nodes.iter().enumerate().filter_map(|(at, n)| Some((MemberNo(at as u32), n.station.as_deref()?)))
    }

    pub fn look(&self) -> Look<'_> {
        Look {
            stations: self.stations().collect(),
            quiet: self.is_quiet(),
            disturbed: self.crashed(),
            safe: &self.safe,
        }
    }

    fn is_quiet(&self) -> bool {
        self.net.is_empty()
            && self.nodes.iter().all(|n| n.station.is_none() || usize::from(n.views) == self.views.len())
            && self.stations().all(|(_, s)| s.leaving.is_empty() && s.timers.is_empty())
            && !self.stations().any(|(_, s)| s.engine.has_handed_over())
    }

    fn crashed(&self) -> bool {
        self.views.len() > 1
    }
}

impl Node {
    fn new(station: Station, views: u8) -> Self {
        let hash = fingerprint(&station);
        Self { station: Some(Arc::new(station)), hash, views }
    }
}

/// Keeps `Hash` honest: whatever a station is equal by is hashed.
const _: fn() = || {
    fn hashes<T: Hash + Eq>() {}
    hashes::<Station>();
};
