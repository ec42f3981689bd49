//! A cluster in simulated time: random delays (order kept between any two nodes), slow surfaces, hold times, runs of pages,
//! evictions, deaths, newcomers and broken connections, all from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use scifs::coherence::{
    Config, Engine, Epoch, FirstTouch, Input, MapperId, Member, MemberNo, PageId, Placement, SegmentId,
    Spread, Strict, View,
};
use scios::Nanos;

use super::history::History;
use super::invariants::{self, Look};
use super::random::Random;
use super::station::{Clock, Op, Output, Packet, Station};
use super::violation::Violation;

/// What became of one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub nodes: usize,
    pub events: usize,
    pub operations: usize,
    pub messages: usize,
    pub pages_sent: usize,
    pub lost: usize,
    pub deaths: usize,
    pub breaks: usize,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.events += other.events;
        self.operations += other.operations;
        self.messages += other.messages;
        self.pages_sent += other.pages_sent;
        self.lost += other.lost;
        self.deaths += other.deaths;
        self.breaks += other.breaks;
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver { from: (MemberNo, u32), packet: usize },
    Begin { thread: usize },
    Release { page: PageId, mapper: MapperId },
    Timer { page: PageId },
    View { view: usize },
    Evict,
    Crash,
    Join,
    Break { other: usize },
}

/// When, in which order among the same time, where (a node and its run), what.
type Happening = Reverse<(u64, u64, usize, u32, What)>;

#[derive(Debug)]
struct Node {
    station: Option<Station>,
    /// Counts the lives of this number.
    run: u32,
    /// When the last view that is on its way to it arrives, so that they come in order.
    view_at: u64,
}

#[derive(Debug)]
pub struct Sim {
    random: Random,
    config: Arc<Config>,
    now: u64,
    happened: u64,
    agenda: BinaryHeap<Happening>,
    nodes: Vec<Node>,
    packets: Vec<Option<Packet>>,
    /// When the last message between two nodes arrives.
    links: BTreeMap<(MemberNo, MemberNo), u64>,
    /// Between these, messages of older epochs are lost.
    cut: BTreeMap<(MemberNo, MemberNo), Epoch>,
    views: Vec<View>,
    clock: Clock,
    history: History,
    /// Numbers of threads in the history.
    names: BTreeMap<(usize, u32, usize), usize>,
    pages: Vec<PageId>,
    ops_per_thread: u32,
    /// One misfortune at a time: the next one comes when the cluster has recovered from the last. Only then is it known of
    /// every page whether it is lost (`PROTOCOL.md`, "What two deaths at once cost"); without, values aren't checked.
    spaced: bool,
    summary: Summary,
}

const EVENTS_MAX: usize = 1_000_000;

/// Runs one seed to its end and checks everything.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    let mut sim = Sim::new(seed);
    sim.go()?;
    if sim.spaced {
        sim.history.check_each_page()?;
        sim.history.check_all_pages()?;
    }
    Ok(sim.summary)
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = random.between(2, 10) as u16;
        let members = (0..count).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
        let view = View { epoch: Epoch(1), members };
        let placement: Arc<dyn Placement> =
            if random.percent(50) { Arc::new(FirstTouch) } else { Arc::new(Spread) };
        let hold_min = Duration::from_micros(*random.pick(&[0, 10, 40]));
        let config = Arc::new(Config { hold_min, placement, protocol: Arc::new(Strict), mutation: None });
        let pages = (0..random.between(1, 4))
            .flat_map(|segment| (0..4).map(move |index| PageId { segment: SegmentId(segment), index }))
            .collect();
        let mut sim = Self {
            random,
            config,
            now: 0,
            happened: 0,
            agenda: BinaryHeap::new(),
            nodes: Vec::new(),
            packets: Vec::new(),
            links: BTreeMap::new(),
            cut: BTreeMap::new(),
            views: vec![view],
            clock: Clock::new(),
            history: History::default(),
            names: BTreeMap::new(),
            pages,
            ops_per_thread: 12,
            spaced: seed % 4 != 0,
            summary: Summary { nodes: usize::from(count), ..Summary::default() },
        };
        for node in 0..usize::from(count) {
            sim.nodes.push(Node { station: None, run: 0, view_at: 0 });
            sim.start(node);
        }
        sim.plan_disturbances();
        sim
    }

    fn plan_disturbances(&mut self) {
        let nodes = self.nodes.len();
        let disturbances = if self.random.percent(60) { self.random.between(1, 4) } else { 0 };
        for _ in 0..disturbances {
            let node = self.random.between(0, nodes as u64) as usize;
            let after = self.random.between(1_000, 800_000);
            let other = self.random.between(0, nodes as u64) as usize;
            let what =
                if self.random.percent(70) || other == node { What::Crash } else { What::Break { other } };
            self.at(after, node, 0, what);
        }
        for _ in 0..self.random.between(0, 10) {
            let (node, after) = (self.random.between(0, nodes as u64), self.random.between(1_000, 800_000));
            self.at(after, node as usize, 0, What::Evict);
        }
    }

    /// A node begins its life with the newest view.
    fn start(&mut self, node: usize) {
        let view = self.views[self.views.len() - 1].clone();
        let (engine, hello) = Engine::new(MemberNo(node as u16), Arc::clone(&self.config), view);
        let kinds = [MapperId::FILE, MapperId(1), MapperId(1), MapperId(2), MapperId::DIRECT];
        let mappers: Vec<_> = (0..self.random.between(1, 3)).map(|_| *self.random.pick(&kinds)).collect();
        let mut station = Station::new(engine, &mappers, false);
        station.forgetful = !self.spaced;
        let mut out = Output::default();
        let said = station.perform(hello, None, &[], &mut self.clock, &mut out);
        debug_assert!(said.is_ok());
        let run = self.nodes[node].run;
        self.nodes[node].station = Some(station);
        for thread in 0..mappers.len() {
            self.begin_later(node, run, thread);
        }
        self.absorb(node, out);
    }

    fn at(&mut self, after: u64, node: usize, run: u32, what: What) {
        self.happened += 1;
        self.agenda.push(Reverse((self.now + after, self.happened, node, run, what)));
    }

    fn go(&mut self) -> Result<(), Violation> {
        while let Some(Reverse((time, _, node, run, what))) = self.agenda.pop() {
            self.now = time;
            self.summary.events += 1;
            if self.summary.events > EVENTS_MAX {
                return Err(Violation::Endless(EVENTS_MAX));
            }
            let misfortune = matches!(what, What::Crash | What::Break { .. });
            match what {
                what if misfortune && self.spaced && !self.recovered() => self.at(50_000, node, run, what),
                What::Crash => self.crash(node),
                What::Join => self.join(node),
                What::Break { other } => self.break_connection(node, other),
                what if self.nodes[node].run == run || what == What::Evict => self.step(node, what)?,
                _ => {}
            }
            self.check(false)?;
        }
        self.check(true)?;
        self.summary.operations = self.history.len();
        Ok(())
    }

    fn check(&self, quiet: bool) -> Result<(), Violation> {
        let stations = (self.nodes.iter().enumerate())
            .filter_map(|(no, node)| node.station.as_ref().map(|s| (MemberNo(no as u16), s)))
            .collect();
        invariants::check(&Look { stations, quiet, disturbed: self.views.len() > 1, safe: &BTreeSet::new() })
    }

    fn step(&mut self, node: usize, what: What) -> Result<(), Violation> {
        let (now, mut out) = (Nanos(self.now), Output::default());
        let begin = match what {
            What::Begin { .. } => Some((self.choose(), self.random.between(1, 5) as u16)),
            _ => None,
        };
        let evict = *self.random.pick(&self.pages);
        let Some(station) = &mut self.nodes[node].station else { return Ok(()) };
        let clock = &mut self.clock;
        match what {
            What::Begin { thread } => {
                if let Some((op, run)) = begin {
                    station.begin(now, thread, op, run, clock, &mut out)?;
                }
            }
            What::Release { page, mapper } => station.release(now, page, mapper, clock, &mut out)?,
            What::Timer { page } => station.feed(now, Input::Timer { page }, &[], clock, &mut out)?,
            What::Evict => station.feed(now, Input::Evict { page: evict }, &[], clock, &mut out)?,
            What::View { view } => {
                station.feed(now, Input::View(self.views[view].clone()), &[], clock, &mut out)?;
            }
            What::Deliver { from, packet } => {
                let Some(packet) = self.packets[packet].take() else { return Ok(()) };
                let input = Input::Message { from: from.0, message: packet.message };
                station.feed(now, input, &packet.data, clock, &mut out)?;
            }
            What::Crash | What::Join | What::Break { .. } => {}
        }
        self.absorb(node, out);
        Ok(())
    }

    fn choose(&mut self) -> Op {
        let page = *self.random.pick(&self.pages);
        match self.random.between(0, 100) {
            0..50 => Op::Read(page),
            50..95 => Op::Write(page),
            _ => Op::Overwrite(page),
        }
    }

    fn begin_later(&mut self, node: usize, run: u32, thread: usize) {
        let after = self.random.between(100, 60_000);
        self.at(after, node, run, What::Begin { thread });
    }

    /// Puts what a step caused on the agenda and into the history.
    fn absorb(&mut self, node: usize, out: Output) {
        let run = self.nodes[node].run;
        let from = MemberNo(node as u16);
        for (to, packet) in out.sent {
            self.send(from, run, to, packet);
        }
        for (page, mapper) in out.surfaces {
            let after = self.random.between(500, 30_000);
            self.at(after, node, run, What::Release { page, mapper });
        }
        for (page, at) in out.timers {
            self.at(at.0.saturating_sub(self.now), node, run, What::Timer { page });
        }
        for event in out.events {
            let new = self.names.len();
            let name = *self.names.entry((node, run, event.thread)).or_insert(new);
            self.history.push(name, event.page, event.seen);
            self.summary.lost += usize::from(event.seen == super::station::Seen::Lost);
            let done = self.nodes[node].station.as_ref().map(|s| s.threads[event.thread].done);
            if done.is_some_and(|done| done < self.ops_per_thread) {
                self.begin_later(node, run, event.thread);
            }
        }
    }

    fn send(&mut self, from: MemberNo, run: u32, to: MemberNo, packet: Packet) {
        self.summary.messages += 1;
        self.summary.pages_sent += packet.data.len();
        let cut = self.cut.get(&(from, to)).is_some_and(|until| packet.message.epoch < *until);
        if cut || self.nodes.get(usize::from(to.0)).is_none_or(|n| n.station.is_none()) {
            return;
        }
        let delay = if self.random.percent(5) { 400_000 } else { 60_000 };
        let earliest = self.links.get(&(from, to)).copied().unwrap_or(0);
        let arrives = (self.now + self.random.between(2_000, delay)).max(earliest + 1);
        self.links.insert((from, to), arrives);
        self.packets.push(Some(packet));
        let what = What::Deliver { from: (from, run), packet: self.packets.len() - 1 };
        let to = usize::from(to.0);
        self.at(arrives - self.now, to, self.nodes[to].run, what);
    }

    /// A node dies, with its memory. Of what it had sent, a part still arrives.
    fn crash(&mut self, node: usize) {
        let alive = self.nodes.iter().filter(|n| n.station.is_some()).count();
        if alive < 2 || self.nodes[node].station.is_none() {
            return;
        }
        self.summary.deaths += 1;
        self.lose_packets(node, None);
        self.nodes[node].station = None;
        self.nodes[node].run += 1;
        let mut view = self.newest_view();
        view.members.retain(|m| usize::from(m.no.0) != node);
        self.new_epoch(view);
        if self.random.percent(60) {
            let after = self.random.between(1_000, 500_000);
            let run = self.nodes[node].run;
            self.at(after, node, run, What::Join);
        }
    }

    /// A number is used again, by a node that has nothing.
    fn join(&mut self, node: usize) {
        if self.nodes[node].station.is_some() {
            return;
        }
        let mut view = self.newest_view();
        view.members.push(Member { no: MemberNo(node as u16), joined: view.epoch });
        view.members.sort_by_key(|m| m.no);
        self.announce(view);
        self.nodes[node].view_at = self.now;
        self.start(node);
    }

    /// A connection between two nodes that live breaks; some messages are lost. The membership raises the epoch.
    fn break_connection(&mut self, node: usize, other: usize) {
        if self.nodes[node].station.is_none() || self.nodes[other].station.is_none() {
            return;
        }
        self.summary.breaks += 1;
        self.lose_packets(node, Some(other));
        self.lose_packets(other, Some(node));
        let view = self.newest_view();
        let until = Epoch(view.epoch.0 + 1);
        let (a, b) = (MemberNo(node as u16), MemberNo(other as u16));
        self.cut.insert((a, b), until);
        self.cut.insert((b, a), until);
        self.new_epoch(view);
    }

    /// Each link of a node loses what would arrive after a moment of its own.
    fn lose_packets(&mut self, from: usize, to: Option<usize>) {
        let from = MemberNo(from as u16);
        let cuts: Vec<_> = self.nodes.iter().map(|_| self.random.between(0, 100_000)).collect();
        let now = self.now;
        for Reverse((time, _, at, _, what)) in &self.agenda {
            if let What::Deliver { from: (sender, _), packet } = what
                && *sender == from
                && to.is_none_or(|to| to == *at)
                && *time > now + cuts[*at]
            {
                self.packets[*packet] = None;
            }
        }
    }

    fn recovered(&self) -> bool {
        let alive = || self.nodes.iter().filter(|n| n.station.is_some());
        alive().all(|n| n.view_at < self.now)
            && alive().filter_map(|n| n.station.as_ref()).all(|s| s.engine.settled())
    }

    fn newest_view(&self) -> View {
        self.views[self.views.len() - 1].clone()
    }

    fn new_epoch(&mut self, mut view: View) {
        view.epoch.0 += 1;
        self.announce(view);
    }

    /// Every node hears of every view, in order, each in its own time.
    fn announce(&mut self, view: View) {
        self.views.push(view);
        let view = self.views.len() - 1;
        for node in 0..self.nodes.len() {
            if self.nodes[node].station.is_none() {
                continue;
            }
            let hears = (self.now + self.random.between(1_000, 200_000)).max(self.nodes[node].view_at + 1);
            self.nodes[node].view_at = hears;
            let run = self.nodes[node].run;
            self.at(hears - self.now, node, run, What::View { view });
        }
    }
}
