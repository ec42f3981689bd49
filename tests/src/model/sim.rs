//! A cluster in simulated time: random delays (order kept between any two nodes), slow surfaces, hold times, runs of pages,
//! evictions, deaths, newcomers and broken connections, all from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;
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
    pub departures: usize,
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
        self.departures += other.departures;
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Deliver { from: (MemberNo, u32), packet: usize },
    Begin { thread: usize },
    Release { page: PageId, mapper: MapperId },
    Timer { page: PageId },
    View { view: usize },
    Evict,
    Crash,
    Join,
    Break { other: usize },
    Leave,
    Depart,
    Gone { epoch: u64 },
}

/// When, in which order among the same time, where (a node and its run), what.
type Happening = Reverse<(u64, u64, usize, u32, What)>;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) station: Option<Station>,
    /// Counts the lives of this number.
    pub(super) run: u32,
    /// When the last view that is on its way to it arrives, so that they come in order.
    pub(super) view_at: u64,
}

#[derive(Debug)]
pub struct Sim {
    pub(super) random: Random,
    config: Arc<Config>,
    pub(super) now: u64,
    happened: u64,
    pub(super) agenda: BinaryHeap<Happening>,
    pub(super) nodes: Vec<Node>,
    pub(super) packets: Vec<Option<Packet>>,
    /// When the last message between two nodes arrives.
    pub(super) links: BTreeMap<(MemberNo, MemberNo), u64>,
    /// Between these, messages of older epochs are lost.
    pub(super) cut: BTreeMap<(MemberNo, MemberNo), Epoch>,
    pub(super) views: Vec<View>,
    clock: Clock,
    history: History,
    /// Numbers of threads in the history.
    names: BTreeMap<(usize, u32, usize), usize>,
    pub(super) pages: Vec<PageId>,
    /// Sets of threads, of which a node has one.
    mappers: Vec<Vec<MapperId>>,
    habits: Habits,
    /// One misfortune at a time: the next one comes when the cluster has recovered from the last. Only then is it known of
    /// every page whether it is lost (`PROTOCOL.md`, "What two deaths at once cost"); without, values aren't checked.
    pub(super) spaced: bool,
    pub(super) summary: Summary,
}

/// What programs do.
#[derive(Clone, Debug)]
struct Habits {
    ops_per_thread: u32,
    think_ns: Range<u64>,
    only_write: bool,
    until_ns: u64,
}

const EVENTS_MAX: usize = 1_000_000;

/// Runs one seed to its end and checks everything.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    let mut random = Random::new(seed);
    let setup = Setup::random(&mut random, seed);
    let mut sim = Sim::new(random, setup);
    sim.plan_misfortunes();
    sim.go()?;
    if sim.spaced {
        sim.history.check_each_page()?;
        sim.history.check_all_pages()?;
    }
    Ok(sim.summary)
}

/// How many writes each of `nodes` nodes gets done in 50 simulated milliseconds, when all of them do nothing but write to
/// one page, a store every 0.2 µs, over a network of 2 to 60 µs.
pub fn shares(seed: u64, nodes: u32, hold_min: Duration) -> Result<Vec<usize>, Violation> {
    let setup = Setup {
        nodes,
        config: config(hold_min, Arc::new(FirstTouch)),
        pages: vec![PageId { segment: SegmentId(1), index: 0 }],
        mappers: vec![vec![MapperId(1)]],
        habits: Habits {
            ops_per_thread: u32::MAX,
            think_ns: 100..300,
            only_write: true,
            until_ns: 50_000_000,
        },
        spaced: true,
    };
    let mut sim = Sim::new(Random::new(seed), setup);
    sim.go()?;
    let mut shares = vec![0; nodes as usize];
    for ((node, ..), thread) in &sim.names {
        shares[*node] += sim.history.count(*thread);
    }
    Ok(shares)
}

/// A cluster before it starts.
#[derive(Debug)]
struct Setup {
    nodes: u32,
    config: Arc<Config>,
    pages: Vec<PageId>,
    /// Sets of threads, of which a node has one.
    mappers: Vec<Vec<MapperId>>,
    habits: Habits,
    spaced: bool,
}

fn config(hold_min: Duration, placement: Arc<dyn Placement>) -> Arc<Config> {
    Arc::new(Config { hold_min, placement, protocol: Arc::new(Strict), mutation: None })
}

impl Setup {
    fn random(random: &mut Random, seed: u64) -> Self {
        let placement: Arc<dyn Placement> =
            if random.percent(50) { Arc::new(FirstTouch) } else { Arc::new(Spread) };
        let hold_min = Duration::from_micros(*random.pick(&[0, 10, 40]));
        let kinds = [MapperId::FILE, MapperId(1), MapperId(1), MapperId(2), MapperId::DIRECT];
        let mut threads = |count| (0..count).map(|_| *random.pick(&kinds)).collect();
        Self {
            mappers: vec![threads(1), threads(1), threads(2), threads(2), threads(2)],
            nodes: random.between(2, 10) as u32,
            config: config(hold_min, placement),
            pages: (0..random.between(1, 4))
                .flat_map(|segment| (0..4).map(move |index| PageId { segment: SegmentId(segment), index }))
                .collect(),
            habits: Habits {
                ops_per_thread: 12,
                think_ns: 100..60_000,
                only_write: false,
                until_ns: u64::MAX,
            },
            spaced: !seed.is_multiple_of(4),
        }
    }
}

impl Sim {
    fn new(random: Random, setup: Setup) -> Self {
        let members = (0..setup.nodes).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
        let mut sim = Self {
            random,
            config: setup.config,
            now: 0,
            happened: 0,
            agenda: BinaryHeap::new(),
            nodes: Vec::new(),
            packets: Vec::new(),
            links: BTreeMap::new(),
            cut: BTreeMap::new(),
            views: vec![View { epoch: Epoch(1), members, handed_over: None }],
            clock: Clock::new(),
            history: History::default(),
            names: BTreeMap::new(),
            pages: setup.pages,
            mappers: setup.mappers,
            habits: setup.habits,
            spaced: setup.spaced,
            summary: Summary { nodes: setup.nodes as usize, ..Summary::default() },
        };
        for node in 0..setup.nodes as usize {
            sim.nodes.push(Node { station: None, run: 0, view_at: 0 });
            sim.start(node);
        }
        sim
    }

    /// A node begins its life with the newest view.
    pub(super) fn start(&mut self, node: usize) {
        let view = self.views[self.views.len() - 1].clone();
        let (engine, hello) = Engine::new(MemberNo(node as u32), Arc::clone(&self.config), view);
        let mappers = self.random.pick(&self.mappers).clone();
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

    pub(super) fn at(&mut self, after: u64, node: usize, run: u32, what: What) {
        self.happened += 1;
        self.agenda.push(Reverse((self.now + after, self.happened, node, run, what)));
    }

    fn go(&mut self) -> Result<(), Violation> {
        while let Some(Reverse((time, _, node, run, what))) = self.agenda.pop() {
            if time > self.habits.until_ns {
                return Ok(());
            }
            self.now = time;
            self.summary.events += 1;
            if self.summary.events > EVENTS_MAX {
                return Err(Violation::Endless(EVENTS_MAX));
            }
            let misfortune = matches!(what, What::Crash | What::Break { .. } | What::Leave);
            match what {
                what if misfortune && self.spaced && !self.recovered() => self.at(50_000, node, run, what),
                What::Depart if self.nodes[node].run != run => {}
                What::Depart if self.spaced && !self.recovered() => self.at(50_000, node, run, what),
                What::Depart => self.depart(node)?,
                What::Gone { epoch } if self.nodes[node].run == run => self.gone(node, epoch),
                What::Leave => self.leave(node)?,
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
            .filter_map(|(no, node)| node.station.as_ref().map(|s| (MemberNo(no as u32), s)))
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
            What::Begin { .. } if station.is_leaving() => {}
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
            What::Crash
            | What::Join
            | What::Break { .. }
            | What::Leave
            | What::Depart
            | What::Gone { .. } => {}
        }
        self.absorb(node, out);
        Ok(())
    }

    pub(super) fn leave_to(&mut self, node: usize, heir: MemberNo) -> Result<(), Violation> {
        let mut out = Output::default();
        if let Some(station) = &mut self.nodes[node].station {
            station.leave(Nanos(self.now), heir, &mut self.clock, &mut out)?;
        }
        self.absorb(node, out);
        Ok(())
    }

    fn choose(&mut self) -> Op {
        let page = *self.random.pick(&self.pages);
        match self.random.between(0, 100) {
            _ if self.habits.only_write => Op::Write(page),
            0..50 => Op::Read(page),
            50..95 => Op::Write(page),
            _ => Op::Overwrite(page),
        }
    }

    fn begin_later(&mut self, node: usize, run: u32, thread: usize) {
        let after = self.random.between(self.habits.think_ns.start, self.habits.think_ns.end);
        self.at(after, node, run, What::Begin { thread });
    }

    /// Puts what a step caused on the agenda and into the history.
    fn absorb(&mut self, node: usize, out: Output) {
        let run = self.nodes[node].run;
        let from = MemberNo(node as u32);
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
            if done.is_some_and(|done| done < self.habits.ops_per_thread) {
                self.begin_later(node, run, event.thread);
            }
        }
    }

    fn send(&mut self, from: MemberNo, run: u32, to: MemberNo, packet: Packet) {
        self.summary.messages += 1;
        self.summary.pages_sent += packet.data.len();
        let cut = self.cut.get(&(from, to)).is_some_and(|until| packet.message.epoch < *until);
        if cut || self.nodes.get(to.0 as usize).is_none_or(|n| n.station.is_none()) {
            return;
        }
        let delay = if self.random.percent(5) { 400_000 } else { 60_000 };
        let earliest = self.links.get(&(from, to)).copied().unwrap_or(0);
        let arrives = (self.now + self.random.between(2_000, delay)).max(earliest + 1);
        self.links.insert((from, to), arrives);
        self.packets.push(Some(packet));
        let what = What::Deliver { from: (from, run), packet: self.packets.len() - 1 };
        let to = to.0 as usize;
        self.at(arrives - self.now, to, self.nodes[to].run, what);
    }
}
