//! Waiting, on one node: a state machine, nothing else.
//!
//! # Contract
//!
//! - [`SyncEngine::handle`] is called under one lock; the `Send` effects that it returns are queued, in order, before the next
//!   input goes in. Nothing in here waits, reads a clock or draws a random number.
//! - Messages between two members of an epoch arrive once and in order. When a connection breaks between two members that
//!   both live, the membership raises the epoch.
//! - Views come in order and none is left out.
//!
//! Bytes from a peer that make no sense lead to [`Effect::Distrust`], never to a panic or a change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::ids::{Key, Round, Token, WaiterId};
use super::input::{Effect, Ended, Input, Violation};
use super::limits::PARTIES_MAX;
use super::message::{Ask, Body, Message};
#[cfg(feature = "mutations")]
use super::mutation::Mutation;
use super::pending::Pending;
use super::queue::Queue;
use super::recovery::Recovery;
use super::rounds::{Opened, Unsettled};
use crate::coherence::{Epoch, MemberNo, Registrars, View};
use crate::members::{Fence, Passage};

#[derive(Debug)]
pub struct SyncEngine {
    pub(super) me: MemberNo,
    pub(super) view: Arc<View>,
    pub(super) keepers: Registrars,
    // What this node's programs have to do with waiting.
    pub(super) pending: BTreeMap<Token, Pending>,
    pub(super) looks: u64,
    /// Barriers that opened here and of which others may not know.
    pub(super) opened: BTreeMap<(Key, Round), Opened>,
    /// Parties of a round of which the last message hasn't come.
    pub(super) opening: BTreeMap<(Key, Round), Vec<WaiterId>>,
    // What this node keeps.
    pub(super) queues: BTreeMap<Key, Queue>,
    /// Numbers ranks and decisions.
    pub(super) last: u64,
    pub(super) unsettled: BTreeMap<u64, Unsettled>,
    /// From a change of epoch until every member has reported.
    pub(super) recovery: Option<Box<Recovery>>,
    fence: Fence<Message>,
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

/// What one call of `handle` gathers.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) effects: Vec<Effect>,
    /// Messages of this node to itself.
    to_self: VecDeque<Body>,
}

impl SyncEngine {
    /// A member where nobody waits, as of `view`, in which it is. The effects announce it to the others.
    pub fn new(me: MemberNo, view: View) -> (Self, Vec<Effect>) {
        let mut engine = Self {
            me,
            keepers: Registrars::new(&view),
            view: Arc::new(view),
            pending: BTreeMap::new(),
            looks: 0,
            opened: BTreeMap::new(),
            opening: BTreeMap::new(),
            queues: BTreeMap::new(),
            last: 0,
            unsettled: BTreeMap::new(),
            recovery: None,
            fence: Fence::default(),
            #[cfg(feature = "mutations")]
            mutation: None,
        };
        let mut turn = Turn::default();
        engine.report_all(&mut turn);
        engine.drain(&mut turn);
        (engine, turn.effects)
    }

    /// One step. See the contract above.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut turn = Turn::default();
        match input {
            Input::Wait { word, token } => self.join(&mut turn, Key::Word(word), 0, token),
            Input::Notify { word, count, token } => self.notify(&mut turn, Key::Word(word), count, token),
            Input::Arrive { name, parties, token } => self.arrive(&mut turn, name, parties, token),
            Input::Looked { token, look, found } => self.looked(&mut turn, token, look, found),
            Input::Withdraw { token, why } => self.withdraw(&mut turn, token, why),
            Input::Message { from, message } => self.receive(&mut turn, from, message),
            Input::View(view) => self.change_view(&mut turn, view),
        }
        self.drain(&mut turn);
        turn.effects
    }

    pub fn epoch(&self) -> Epoch {
        self.view.epoch
    }

    /// Who keeps the queue: everybody computes it from the epoch's members.
    pub(super) fn keeper(&self, key: &Key) -> MemberNo {
        self.keepers.of_hash(key.hash())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn drain(&mut self, turn: &mut Turn) {
        while let Some(body) = turn.to_self.pop_front() {
            self.dispatch(turn, self.me, body);
        }
    }

    fn receive(&mut self, turn: &mut Turn, from: MemberNo, message: Message) {
        match self.fence.pass(self.epoch(), from, message.epoch, message) {
            Passage::Now(message) => self.dispatch(turn, from, message.body),
            Passage::Past(message) if mutant!(self, AcceptOldEpoch) => {
                self.dispatch(turn, from, message.body)
            }
            Passage::Past(_) | Passage::Kept => {}
            Passage::TooMany => turn.distrust(from, Violation::TooEarly),
        }
    }

    pub(super) fn receive_early(&mut self, turn: &mut Turn) {
        for (from, message) in self.fence.take() {
            self.receive(turn, from, message);
        }
    }

    fn dispatch(&mut self, turn: &mut Turn, from: MemberNo, body: Body) {
        match body {
            Body::Ask { key, ask } => self.on_ask(turn, from, key, ask),
            Body::Joined { token, rank } => self.on_joined(turn, from, token, rank),
            Body::Asleep { token } => self.on_asleep(turn, from, token),
            Body::Out { token, why } => self.on_out(turn, from, token, why),
            Body::Wake { tokens, how, confirm } => self.on_wake(turn, from, &tokens, how, confirm),
            Body::Open { key, round, leader, parties, confirm, last } => {
                let opening = self.opening.entry((key, round)).or_default();
                opening.extend(parties);
                if opening.len() > PARTIES_MAX as usize {
                    self.opening.remove(&(key, round));
                    turn.distrust(from, Violation::TooMany);
                } else if last {
                    self.on_open(turn, from, (key, round), leader, confirm);
                }
            }
            Body::Heard { decision } => self.on_heard(turn, from, decision),
            Body::Notified { token, woken, settled } => self.on_notified(turn, from, token, woken, settled),
            Body::NotifySettled { token } => self.on_notify_settled(token),
            Body::RoundSettled { key, round } => drop(self.opened.remove(&(key, round))),
            Body::Report { waiting, opened, last } => self.on_report(turn, from, waiting, opened, last),
        }
    }

    pub(super) fn ask(&self, turn: &mut Turn, key: Key, ask: Ask) {
        self.send(turn, self.keeper(&key), Body::Ask { key, ask });
    }

    pub(super) fn send(&self, turn: &mut Turn, to: MemberNo, body: Body) {
        if to == self.me {
            turn.to_self.push_back(body);
        } else {
            turn.effects.push(Effect::Send { to, message: Message { epoch: self.epoch(), body } });
        }
    }
}

impl Turn {
    pub(super) fn distrust(&mut self, peer: MemberNo, why: Violation) {
        self.effects.push(Effect::Distrust { peer, why });
    }

    pub(super) fn ended(&mut self, token: Token, how: Ended) {
        self.effects.push(Effect::Ended { token, how });
    }
}

/// Whether the engine was built with this fault, to see that the simulator finds it. Never in production.
macro_rules! mutant {
    ($engine:expr, $name:ident) => {{
        #[cfg(feature = "mutations")]
        let is_mutant = $engine.mutation == Some(super::mutation::Mutation::$name);
        #[cfg(not(feature = "mutations"))]
        let is_mutant = false;
        is_mutant
    }};
}
pub(super) use mutant;
