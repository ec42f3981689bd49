//! A cluster in simulated time: random delays (order kept between any two nodes), interrupts, times that run out, deaths,
//! newcomers and broken connections, all from one seed. `SCIFS_VERBOSE` prints every step.

mod ending;
mod misfortunes;
mod summary;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use scifs::coherence::{Epoch, Member, MemberNo, View};
use scifs::sync::{
    Ask, Body, Effect, Ended, Input, Key, Looked, Message, Mutation, Queue, Refusal, Round, SyncEngine,
    Token, WaiterId, Word,
};
use scios::rpc::Writer;
use scios::rpc::codec::{Message as _, decode};

use super::oracle::Oracle;
use super::thread::{Doing, Mix};
use super::violation::Violation;
use crate::model::random::Random;
pub use summary::Summary;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Deliver { packet: usize },
    Next { thread: usize },
    Begin { thread: usize },
    Read { token: Token, look: u64 },
    Looked { token: Token, look: u64, as_expected: bool },
    Withdraw { token: Token, why: Refusal },
    View { view: usize },
    Crash,
    Join,
    Break { other: usize },
}

/// When, in which order among the same time, where (a node and its run), what.
type Happening = Reverse<(u64, u64, usize, u32, What)>;

#[derive(Debug, Default)]
struct Node {
    engine: Option<SyncEngine>,
    threads: Vec<Thread>,
    tokens: u64,
    /// Of its present life; tokens go on over lives.
    first_token: u64,
    /// Counts the lives of this number.
    run: u32,
    view_at: u64,
    /// What it was told of barriers that open, and in which epoch that was said.
    heard: Vec<(Epoch, Opened)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    left: u32,
    doing: Option<Doing>,
    token: Option<Token>,
}

#[derive(Debug)]
struct Packet {
    from: MemberNo,
    to: MemberNo,
    message: Message,
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
    values: BTreeMap<Word, u64>,
    oracle: Oracle,
    mix: Mix,
    setup: Setup,
    summary: Summary,
}

#[derive(Debug)]
struct Setup {
    operations: u32,
    threads: u64,
    think_ns: u64,
    withdrawn_percent: u64,
    misfortunes: u64,
}

type Opened = (Key, Round, Vec<WaiterId>);

/// The rounds that a message tells of.
fn opened(message: &Message) -> Vec<Opened> {
    match &message.body {
        Body::Open { key, round, parties, .. } => vec![(*key, *round, parties.clone())],
        Body::Report { opened, .. } => opened.iter().map(|r| (r.key, r.round, r.parties.clone())).collect(),
        _ => Vec::new(),
    }
}

const STEPS_MAX: usize = 200_000;

/// Runs one seed to its end and checks everything.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Result<Summary, Violation> {
    let mut random = Random::new(seed);
    let calm = seed.is_multiple_of(3);
    let setup = Setup {
        operations: random.between(4, 16) as u32,
        threads: random.between(1, 5),
        think_ns: *random.pick(&[1_000, 20_000, 100_000]),
        withdrawn_percent: *random.pick(&[0, 20]),
        misfortunes: if calm { 0 } else { random.between(1, 5) },
    };
    let mix = Mix::draw(&mut random);
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
        values: BTreeMap::new(),
        oracle: Oracle::default(),
        mix,
        setup,
        summary: Summary::default(),
    };
    for node in 0..nodes as usize {
        sim.start(node)?;
    }
    sim.plan_misfortunes();
    sim.go()?;
    sim.finish()?;
    Ok(sim.summary)
}

impl Sim {
    fn start(&mut self, node: usize) -> Result<(), Violation> {
        let view = self.views[self.views.len() - 1].clone();
        let (mut engine, hello) = SyncEngine::new(MemberNo(node as u32), view);
        engine.mutation = self.mutation;
        let at = &mut self.nodes[node];
        at.engine = Some(engine);
        at.first_token = at.tokens + 1;
        at.threads =
            vec![Thread { left: self.setup.operations, ..Thread::default() }; self.setup.threads as usize];
        for thread in 0..self.setup.threads as usize {
            self.next_later(node, thread);
        }
        self.perform(node, hello)
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

    fn pick_node(&mut self) -> usize {
        self.random.between(0, self.nodes.len() as u64) as usize
    }

    fn value(&self, word: Word) -> u64 {
        self.values.get(&word).copied().unwrap_or_default()
    }

    /// Until nothing happens by itself.
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
        }
        Ok(())
    }

    fn waiting(&self) -> BTreeMap<WaiterId, Doing> {
        let mut all = BTreeMap::new();
        for (no, node) in (0..).zip(&self.nodes).filter(|(_, node)| node.engine.is_some()) {
            for thread in &node.threads {
                if let (Some(doing), Some(token)) = (thread.doing, thread.token) {
                    all.insert(WaiterId { node: MemberNo(no), token }, doing);
                }
            }
        }
        all
    }

    /// Nothing if they don't agree.
    fn parties_of(&self, key: &Key) -> Option<u32> {
        let mut all = self.mix.barriers.iter().filter(|_| !self.mix.quarrels);
        all.find(|(name, _)| Key::Barrier(*name) == *key).map(|(_, parties)| *parties)
    }

    fn step(&mut self, node: usize, what: What) -> Result<(), Violation> {
        let input = match what {
            What::Deliver { packet } => {
                let Some(packet) = self.packets.remove(&packet) else { return Ok(()) };
                Input::Message { from: packet.from, message: packet.message }
            }
            What::View { view } => Input::View(self.views[view].clone()),
            What::Withdraw { token, why } => Input::Withdraw { token, why },
            What::Looked { token, look, as_expected } => {
                let found = if as_expected { Looked::AsExpected } else { Looked::Other };
                Input::Looked { token, look, found }
            }
            What::Read { token, look } => {
                self.read(node, token, look);
                return Ok(());
            }
            What::Next { thread } => {
                self.draw(node, thread);
                return Ok(());
            }
            What::Begin { thread } => match self.begin(node, thread) {
                Some(input) => input,
                None => return Ok(()),
            },
            What::Crash | What::Join | What::Break { .. } => return Ok(()),
        };
        self.handle(node, input)
    }

    fn handle(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        let notified = match &input {
            Input::Notify { word, .. } => Some(*word),
            Input::Message {
                message: Message { body: Body::Ask { key: Key::Word(word), ask }, .. }, ..
            } => matches!(ask, Ask::Notify { again: false, .. }).then_some(*word),
            _ => None,
        };
        if let Input::Message { message, .. } = &input {
            // Also for later: it may be of an epoch that the node has yet to be told of.
            let told = opened(message).into_iter().map(|round| (message.epoch, round));
            self.nodes[node].heard.extend(told);
        }
        let Some(engine) = &mut self.nodes[node].engine else { return Ok(()) };
        let verbose = std::env::var_os("SCIFS_VERBOSE").is_some();
        if verbose {
            println!("{} m{node} {input:?}", self.now);
        }
        let queue = |engine: &SyncEngine, word: Word| -> Option<Queue> {
            engine.queues().find(|(key, _)| **key == Key::Word(word)).map(|(_, queue)| queue.clone())
        };
        let before = notified.and_then(|word| Some((word, queue(engine, word)?)));
        let effects = engine.handle(input);
        if let Some((word, before)) = before {
            Oracle::woke(word, &before, queue(engine, word).as_ref())?;
        }
        if verbose {
            effects.iter().for_each(|effect| println!("    {effect:?}"));
        }
        self.perform(node, effects)
    }

    fn draw(&mut self, node: usize, thread: usize) {
        let values = &self.values;
        let value = |word| values.get(&word).copied().unwrap_or_default();
        let at = &mut self.nodes[node].threads[thread];
        if at.left == 0 {
            return;
        }
        at.left -= 1;
        let doing = self.mix.next(&mut self.random, value);
        at.doing = Some(doing);
        if let Doing::Notify { word, written: Some(value), .. } = doing {
            self.values.insert(word, value);
        }
        // Time passes between a program's look at the word, or its store, and its call.
        let after = self.random.between(1, 5_000);
        self.at(after, node, What::Begin { thread });
    }

    fn begin(&mut self, node: usize, thread: usize) -> Option<Input> {
        let asleep = self.asleep();
        let at = &mut self.nodes[node];
        at.tokens += 1;
        let token = Token(at.tokens);
        let doing = at.threads[thread].doing?;
        at.threads[thread].token = Some(token);
        let id = WaiterId { node: MemberNo(node as u32), token };
        let input = match doing {
            Doing::Wait { word, .. } => Input::Wait { word, token },
            Doing::Arrive { name, parties } => Input::Arrive { name, parties, token },
            Doing::Notify { word, count, .. } => {
                let asleep = asleep.get(&word).cloned().unwrap_or_default();
                self.oracle.notifies(id, word, count, asleep);
                return Some(Input::Notify { word, count, token });
            }
        };
        if self.random.percent(self.setup.withdrawn_percent) {
            let after = self.random.between(100, 300_000);
            let why = *self.random.pick(&[Refusal::Interrupted, Refusal::TimedOut]);
            self.at(after, node, What::Withdraw { token, why });
        }
        Some(input)
    }

    fn asleep(&self) -> BTreeMap<Word, Vec<WaiterId>> {
        let mut all: BTreeMap<Word, Vec<WaiterId>> = BTreeMap::new();
        for (no, node) in (0..).zip(&self.nodes) {
            for (key, token) in node.engine.iter().flat_map(SyncEngine::asleep) {
                if let Key::Word(word) = key {
                    all.entry(word).or_default().push(WaiterId { node: MemberNo(no), token });
                }
            }
        }
        all
    }

    fn read(&mut self, node: usize, token: Token, look: u64) {
        let threads = &self.nodes[node].threads;
        let doing = threads.iter().find(|thread| thread.token == Some(token)).and_then(|thread| thread.doing);
        let Some(Doing::Wait { word, expected }) = doing else { return };
        let as_expected = self.value(word) == expected;
        let after = self.random.between(100, 50_000);
        self.at(after, node, What::Looked { token, look, as_expected });
    }

    fn perform(&mut self, node: usize, effects: Vec<Effect>) -> Result<(), Violation> {
        let me = MemberNo(node as u32);
        let at = &self.nodes[node];
        let now = at.engine.as_ref().map(SyncEngine::epoch);
        let heard = at.heard.iter().filter(|(epoch, _)| Some(*epoch) == now).map(|(_, round)| round.clone());
        let mut rounds: Vec<Opened> = heard.collect();
        let mut through: BTreeMap<Key, BTreeMap<WaiterId, u32>> = BTreeMap::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    rounds.extend(opened(&message));
                    self.send(me, to, message)?;
                }
                Effect::Look { token, look } => {
                    let after = self.random.between(0, 50_000);
                    self.at(after, node, What::Read { token, look });
                }
                Effect::Ended { token, how } => {
                    if let (Some(key), Ok(told)) = (self.ended(node, token, how)?, how) {
                        through.entry(key).or_default().insert(WaiterId { node: me, token }, told);
                    }
                }
                Effect::Distrust { peer, why } => {
                    return Err(Violation::Distrust(node, format!("{peer:?}: {why}")));
                }
                Effect::Rejoin => return Err(Violation::Distrust(node, "views out of order".into())),
            }
        }
        for (key, parties) in through {
            let expected = self.parties_of(&key);
            self.oracle.passed(key, &parties, &rounds, expected)?;
        }
        Ok(())
    }

    /// Gives the barrier that it went through.
    fn ended(&mut self, node: usize, token: Token, how: Ended) -> Result<Option<Key>, Violation> {
        let threads = &mut self.nodes[node].threads;
        let thread = threads.iter().position(|thread| thread.token == Some(token));
        let Some(thread) = thread else { return Err(Violation::Unasked(token, node)) };
        let Some(doing) = threads[thread].doing.take() else { return Err(Violation::Unasked(token, node)) };
        threads[thread].token = None;
        let id = WaiterId { node: MemberNo(node as u32), token };
        let mut key = None;
        match how {
            Ok(result) => {
                self.oracle.ended(id, doing, result)?;
                match doing {
                    Doing::Arrive { name, .. } => {
                        key = Some(Key::Barrier(name));
                        self.summary.through += 1;
                    }
                    Doing::Wait { .. } => self.summary.woken += 1,
                    Doing::Notify { .. } => {}
                }
            }
            Err(Refusal::Changed) => self.summary.changed += 1,
            Err(Refusal::TimedOut) => self.summary.timed_out += 1,
            Err(Refusal::Interrupted) => self.summary.interrupted += 1,
            Err(Refusal::Disagree) if self.mix.quarrels => self.summary.refused += 1,
            Err(why) => return Err(Violation::Refused(id, why)),
        }
        self.next_later(node, thread);
        Ok(key)
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
        self.sent += 1;
        self.packets.insert(self.sent, Packet { from, to, message });
        self.happened += 1;
        let what = What::Deliver { packet: self.sent };
        self.agenda.push(Reverse((arrives, self.happened, to.0 as usize, run, what)));
        Ok(())
    }
}
