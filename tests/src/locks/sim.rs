//! A cluster in simulated time: random delays (order kept between any two nodes), interrupts, deaths, newcomers and broken
//! connections, all from one seed. `SCIFS_VERBOSE` prints every step.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use scifs::coherence::{Epoch, Member, MemberNo, View};
use scifs::locks::{
    Acquire, Body, Effect, Input, LocalOwner, LockEngine, Message, Mutation, Owner, Refusal, Space, Table,
    Token, Waiter, WaiterId,
};
use scios::rpc::Writer;
use scios::rpc::codec::{Message as _, decode};

use super::oracle::{Oracle, Tables};
use super::thread::{Doing, Thread};
use super::violation::Violation;
use crate::model::random::Random;

/// What became of one seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub steps: usize,
    pub messages: usize,
    pub granted: usize,
    pub would_block: usize,
    pub deadlocks: usize,
    pub interrupted: usize,
    pub moves: usize,
    pub deaths: usize,
    pub breaks: usize,
}

impl Summary {
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.granted += other.granted;
        self.would_block += other.would_block;
        self.deadlocks += other.deadlocks;
        self.interrupted += other.interrupted;
        self.moves += other.moves;
        self.deaths += other.deaths;
        self.breaks += other.breaks;
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver { packet: usize },
    Next { thread: usize },
    Interrupt { token: Token },
    View { view: usize },
    Crash,
    Join,
    Break { other: usize },
}

/// When, in which order among the same time, where (a node and its run), what.
type Happening = Reverse<(u64, u64, usize, u32, What)>;

#[derive(Debug, Default)]
struct Node {
    engine: Option<LockEngine>,
    threads: Vec<Thread>,
    tokens: u64,
    /// Counts the lives of this number.
    run: u32,
    view_at: u64,
}

#[derive(Debug)]
struct Packet {
    from: (MemberNo, u32),
    to: MemberNo,
    message: Message,
    /// A table on its way, for those who look at all tables.
    table: Option<(u64, Table)>,
}

#[derive(Debug)]
pub struct Sim {
    random: Random,
    mutation: Option<Mutation>,
    now: u64,
    happened: u64,
    agenda: BinaryHeap<Happening>,
    nodes: Vec<Node>,
    packets: BTreeMap<usize, Packet>,
    sent: usize,
    links: BTreeMap<(MemberNo, MemberNo), u64>,
    /// Between these, messages of older epochs are lost.
    cut: BTreeMap<(MemberNo, MemberNo), Epoch>,
    views: Vec<View>,
    oracle: Oracle,
    setup: Setup,
    summary: Summary,
}

#[derive(Debug)]
struct Setup {
    files: u64,
    operations: u32,
    threads: u64,
    think_ns: u64,
    /// Two threads may belong to one process.
    processes_share: bool,
    interrupts_percent: u64,
    misfortunes: u64,
}

const STEPS_MAX: usize = 200_000;

/// Runs one seed to its end and checks everything.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Result<Summary, Violation> {
    let mut random = Random::new(seed);
    let calm = seed.is_multiple_of(3);
    let setup = Setup {
        files: random.between(1, 4),
        operations: random.between(4, 16) as u32,
        threads: random.between(1, 4),
        think_ns: *random.pick(&[1_000, 20_000, 100_000]),
        processes_share: !calm && random.percent(40),
        interrupts_percent: if calm { 0 } else { *random.pick(&[0, 20]) },
        misfortunes: if calm { 0 } else { random.between(0, 4) },
    };
    let nodes = random.between(2, 7) as u32;
    let members = (0..nodes).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
    let mut sim = Sim {
        random,
        mutation,
        now: 0,
        happened: 0,
        agenda: BinaryHeap::new(),
        nodes: (0..nodes).map(|_| Node::default()).collect(),
        packets: BTreeMap::new(),
        sent: 0,
        links: BTreeMap::new(),
        cut: BTreeMap::new(),
        views: vec![View { epoch: Epoch(1), members, handed_over: None }],
        oracle: Oracle::default(),
        setup,
        summary: Summary::default(),
    };
    for node in 0..nodes as usize {
        sim.start(node)?;
    }
    sim.plan_misfortunes();
    sim.go()?;
    Ok(sim.summary)
}

/// All tables of the cluster.
fn tables<'a>(nodes: &'a [Node], packets: &'a BTreeMap<usize, Packet>) -> Tables<'a> {
    let mut tables: Tables<'_> = Tables::new();
    for engine in nodes.iter().filter_map(|node| node.engine.as_ref()) {
        tables.entry(engine.epoch()).or_default().extend(engine.tables());
    }
    for packet in packets.values() {
        if let Some((inode, table)) = &packet.table {
            tables.entry(packet.message.epoch).or_default().push((*inode, table));
        }
    }
    tables
}

impl Sim {
    fn start(&mut self, node: usize) -> Result<(), Violation> {
        let view = self.views[self.views.len() - 1].clone();
        let (mut engine, hello) = LockEngine::new(MemberNo(node as u32), view);
        engine.mutation = self.mutation;
        self.nodes[node].engine = Some(engine);
        self.nodes[node].threads = (0..self.setup.threads).map(|thread| self.thread(thread)).collect();
        for thread in 0..self.setup.threads as usize {
            self.next_later(node, thread);
        }
        self.perform(node, hello)
    }

    fn thread(&mut self, thread: u64) -> Thread {
        let all: Vec<u64> = (1..=self.setup.files).collect();
        // An open file belongs to one file; a process has many.
        let (space, files) = match self.random.percent(40) {
            true => (Space::Flock, vec![*self.random.pick(&all)]),
            false => (Space::Posix, all),
        };
        let id = if self.setup.processes_share && space == Space::Posix { thread / 2 } else { thread };
        Thread::new(LocalOwner { space, id }, files, self.setup.operations)
    }

    fn at(&mut self, after: u64, node: usize, what: What) {
        self.happened += 1;
        let run = self.nodes[node].run;
        self.agenda.push(Reverse((self.now + after, self.happened, node, run, what)));
    }

    fn next_later(&mut self, node: usize, thread: usize) {
        let after = self.random.between(100, self.setup.think_ns);
        self.at(after, node, What::Next { thread });
    }

    fn plan_misfortunes(&mut self) {
        for _ in 0..self.setup.misfortunes {
            let (node, other) = (self.pick_node(), self.pick_node());
            let what = match self.random.between(0, 3) {
                0 => What::Crash,
                1 if node != other => What::Break { other },
                _ => What::Join,
            };
            let after = self.random.between(0, 1_500_000);
            self.at(after, node, what);
        }
    }

    fn pick_node(&mut self) -> usize {
        self.random.between(0, self.nodes.len() as u64) as usize
    }

    fn go(&mut self) -> Result<(), Violation> {
        while let Some(Reverse((time, _, node, run, what))) = self.agenda.pop() {
            self.now = time;
            self.summary.steps += 1;
            if self.summary.steps > STEPS_MAX {
                return Err(Violation::TooLong(STEPS_MAX));
            }
            match what {
                What::Crash => self.crash(node),
                What::Join => self.join(node)?,
                What::Break { other } => self.break_connection(node, other),
                what if self.nodes[node].run == run => self.step(node, what)?,
                _ => {}
            }
            self.oracle.check_exclusion()?;
            self.observe()?;
        }
        self.check_quiet()
    }

    fn observe(&mut self) -> Result<(), Violation> {
        self.oracle.observe(self.summary.steps, &tables(&self.nodes, &self.packets))
    }

    fn check_quiet(&self) -> Result<(), Violation> {
        for (no, node) in (0..).zip(&self.nodes) {
            let Some(engine) = &node.engine else { continue };
            if engine.requests() > 0 {
                return Err(Violation::Endless(engine.requests(), no));
            }
            if !engine.is_settled() || engine.tables().any(|(_, table)| !table.is_empty()) {
                return Err(Violation::Remains(no));
            }
        }
        Ok(())
    }

    fn step(&mut self, node: usize, what: What) -> Result<(), Violation> {
        let input = match what {
            What::Deliver { packet } => {
                let Some(packet) = self.packets.remove(&packet) else { return Ok(()) };
                Input::Message { from: packet.from.0, message: packet.message }
            }
            What::View { view } => Input::View(self.views[view].clone()),
            What::Interrupt { token } => Input::Interrupt { token },
            What::Next { thread } => match self.next(node, thread) {
                Some(input) => input,
                None => return Ok(()),
            },
            What::Crash | What::Join | What::Break { .. } => return Ok(()),
        };
        let Some(engine) = &mut self.nodes[node].engine else { return Ok(()) };
        let verbose = std::env::var_os("SCIFS_VERBOSE").is_some();
        if verbose {
            println!("{} m{node} {input:?}", self.now);
        }
        let effects = engine.handle(input);
        if verbose {
            effects.iter().for_each(|effect| println!("    {effect:?}"));
        }
        self.perform(node, effects)
    }

    /// A thread's next request.
    fn next(&mut self, node: usize, thread: usize) -> Option<Input> {
        let Node { threads, tokens, .. } = &mut self.nodes[node];
        *tokens += 1;
        let token = Token(*tokens);
        let (input, doing) = threads[thread].next(&mut self.random, token)?;
        threads[thread].current = Some((token, doing));
        let owner = Owner { node: MemberNo(node as u32), local: threads[thread].owner };
        self.oracle.asks(doing.inode, owner, doing.wait);
        if !doing.test && (doing.kind != Some(scifs::locks::Kind::Write) || owner.local.space == Space::Flock)
        {
            let by = WaiterId { node: owner.node, token };
            // Linux lets go of a `flock` before it gives another one, but a weaker one costs nothing.
            let to = doing.kind.filter(|kind| *kind == scifs::locks::Kind::Read);
            self.oracle.gives_up(by, doing.inode, owner, doing.range, to);
        }
        if doing.wait && self.random.percent(self.setup.interrupts_percent) {
            let after = self.random.between(100, 300_000);
            self.at(after, node, What::Interrupt { token });
        }
        Some(input)
    }

    fn perform(&mut self, node: usize, effects: Vec<Effect>) -> Result<(), Violation> {
        let me = MemberNo(node as u32);
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(me, to, message)?,
                Effect::Granted { token } => self.ended(node, token, Ok(()))?,
                Effect::Refused { token, why } => self.ended(node, token, Err(why))?,
                Effect::Tested { token, .. } => self.ended(node, token, Ok(()))?,
                Effect::Distrust { peer, why } => {
                    return Err(Violation::Distrust(me.0, format!("{peer:?}: {why}")));
                }
                Effect::Rejoin => return Err(Violation::Distrust(me.0, "views out of order".into())),
            }
        }
        Ok(())
    }

    fn ended(&mut self, node: usize, token: Token, result: Result<(), Refusal>) -> Result<(), Violation> {
        let by = WaiterId { node: MemberNo(node as u32), token };
        let threads = &mut self.nodes[node].threads;
        let position = threads.iter().position(|t| t.current.is_some_and(|(current, _)| current == token));
        let Some(thread) = position else { return Err(Violation::Unasked(by)) };
        let Some((_, doing)) = threads[thread].current.take() else { return Err(Violation::Unasked(by)) };
        let owner = Owner { node: by.node, local: threads[thread].owner };
        let now = result.is_ok().then_some(doing.kind).filter(|_| !doing.test);
        self.oracle.ended(by, doing.inode, owner, doing.range, now);
        match result {
            Ok(()) => self.summary.granted += 1,
            Err(Refusal::Deadlock) => {
                self.summary.deadlocks += 1;
                self.check_deadlock(by, owner, doing)?;
            }
            Err(Refusal::Interrupted) => self.summary.interrupted += 1,
            Err(_) => self.summary.would_block += 1,
        }
        self.next_later(node, thread);
        Ok(())
    }

    fn check_deadlock(&self, by: WaiterId, owner: Owner, doing: Doing) -> Result<(), Violation> {
        let Setup { misfortunes, processes_share, interrupts_percent, .. } = self.setup;
        let strict = misfortunes == 0 && !processes_share && interrupts_percent == 0;
        let Doing { inode, range, kind: Some(kind), wait, .. } = doing else {
            return Err(Violation::NoDeadlock(by));
        };
        let (since, token) = (Epoch(0), by.token);
        let acquire = Acquire { owner: owner.local, pid: 1, range, kind, wait, seek: true, since, token };
        let waiter = Waiter { node: by.node, acquire, jumps: false };
        self.oracle.deadlock(inode, waiter, strict, &tables(&self.nodes, &self.packets))
    }

    fn send(&mut self, from: MemberNo, to: MemberNo, message: Message) -> Result<(), Violation> {
        self.summary.messages += 1;
        let mut writer = Writer::new();
        message.encode(&mut writer);
        let bytes = writer.finish().map_err(|e| Violation::Codec(e.to_string()))?;
        let again: Message = decode(bytes).map_err(|e| Violation::Codec(e.to_string()))?;
        if again != message {
            return Err(Violation::Codec(format!("{message:?}")));
        }
        let cut = self.cut.get(&(from, to)).is_some_and(|until| message.epoch < *until);
        let Some(receiver) = self.nodes.get(to.0 as usize).filter(|n| n.engine.is_some() && !cut) else {
            return Ok(());
        };
        let run = receiver.run;
        let delay = if self.random.percent(5) { 400_000 } else { 60_000 };
        let earliest = self.links.get(&(from, to)).copied().unwrap_or(0);
        let arrives = (self.now + self.random.between(2_000, delay)).max(earliest + 1);
        self.links.insert((from, to), arrives);
        let table = match &message.body {
            Body::Table { inode, parts, .. } => {
                self.summary.moves += 1;
                Some((*inode, Table::from_parts(parts)))
            }
            _ => None,
        };
        self.sent += 1;
        let sender = (from, self.nodes[from.0 as usize].run);
        self.packets.insert(self.sent, Packet { from: sender, to, message, table });
        self.happened += 1;
        let what = What::Deliver { packet: self.sent };
        self.agenda.push(Reverse((arrives, self.happened, to.0 as usize, run, what)));
        Ok(())
    }

    fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.engine.is_some()).count()
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].engine.is_none() || self.alive() < 3 {
            return;
        }
        let me = MemberNo(node as u32);
        self.summary.deaths += 1;
        self.nodes[node] =
            Node { run: self.nodes[node].run + 1, tokens: self.nodes[node].tokens, ..Node::default() };
        // What it sent last may be lost.
        let lost = self.random.percent(50);
        self.packets.retain(|_, packet| packet.to != me && !(lost && packet.from.0 == me));
        self.oracle.died(me);
        let mut view = self.views[self.views.len() - 1].clone();
        view.epoch.0 += 1;
        view.members.retain(|member| member.no != me);
        self.publish(view);
    }

    fn join(&mut self, node: usize) -> Result<(), Violation> {
        let mut view = self.views[self.views.len() - 1].clone();
        let no = MemberNo(node as u32);
        if self.nodes[node].engine.is_some() || view.members.iter().any(|m| m.no == no) {
            return Ok(());
        }
        view.members.push(Member { no, joined: view.epoch });
        view.members.sort_by_key(|member| member.no);
        self.publish(view);
        self.start(node)
    }

    fn break_connection(&mut self, node: usize, other: usize) {
        if self.nodes[node].engine.is_none() || self.nodes[other].engine.is_none() || node == other {
            return;
        }
        self.summary.breaks += 1;
        let (a, b) = (MemberNo(node as u32), MemberNo(other as u32));
        let between = |p: &Packet| (p.from.0, p.to) == (a, b) || (p.from.0, p.to) == (b, a);
        self.packets.retain(|_, packet| !between(packet));
        let mut view = self.views[self.views.len() - 1].clone();
        view.epoch.0 += 1;
        self.cut.insert((a, b), view.epoch);
        self.cut.insert((b, a), view.epoch);
        self.publish(view);
    }

    fn publish(&mut self, view: View) {
        self.views.push(view);
        let view = self.views.len() - 1;
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.is_some() {
                let arrives =
                    (self.now + self.random.between(10_000, 500_000)).max(self.nodes[node].view_at + 1);
                self.nodes[node].view_at = arrives;
                self.at(arrives - self.now, node, What::View { view });
            }
        }
    }
}
