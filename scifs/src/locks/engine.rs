//! The locks of one node: a state machine, nothing else.
//!
//! # Contract
//!
//! - [`LockEngine::handle`] is called under one lock; the `Send` effects that it returns are queued, in order, before the next
//!   input goes in. Nothing in here waits, reads a clock or draws a random number.
//! - Messages between two members of an epoch arrive once and in order. When a connection breaks between two members that
//!   both live, the membership raises the epoch.
//! - Views come in order and none is left out.
//! - Tokens of a node ascend and are never used twice.
//!
//! Bytes from a peer that make no sense lead to [`Effect::Distrust`], never to a panic or a change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::detector::Detector;
use super::holdings::Holdings;
use super::ids::{LocalOwner, Token, hash};
use super::input::{Effect, Input, Violation};
use super::manager::{Early, Managed};
use super::message::{Body, Message};
#[cfg(feature = "mutations")]
use super::mutation::Mutation;
use super::pending::Pending;
use super::recovery::Recovery;
use crate::coherence::{Epoch, MemberNo, Registrars, View};
use crate::members::{Fence, Passage};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockEngine {
    pub(super) me: MemberNo,
    pub(super) view: Arc<View>,
    pub(super) registrars: Computed,
    // What this node's programs have to do with locks.
    pub(super) holdings: Holdings,
    pub(super) pending: BTreeMap<Token, Pending>,
    pub(super) by_owner: BTreeSet<(LocalOwner, u64, Token)>,
    /// Requests of a file that went to its registrar and that no table here has seen.
    pub(super) routed: BTreeMap<u64, u32>,
    // Tables that this node manages.
    pub(super) tables: BTreeMap<u64, Managed>,
    /// Empty tables that aren't the registrar's, oldest first.
    pub(super) idle: BTreeMap<u64, u64>,
    pub(super) idle_clock: u64,
    /// To whom a table went whose move the registrar hasn't confirmed.
    pub(super) gone: BTreeMap<u64, MemberNo>,
    /// Requests that came before their table.
    pub(super) early_asks: BTreeMap<u64, Vec<Early>>,
    // What this node knows as registrar: where a table is if not here.
    pub(super) managers: BTreeMap<u64, MemberNo>,
    pub(super) detector: Detector,
    /// From a change of epoch until every member has reported.
    pub(super) recovery: Option<Box<Recovery>>,
    fence: Fence<Message>,
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

/// A function of the view, so no part of the engine's identity.
#[derive(Clone, Debug)]
pub(super) struct Computed(Arc<Registrars>);

/// What one call of `handle` gathers.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) effects: Vec<Effect>,
    /// Messages of this node to itself: the local path costs no message.
    to_self: VecDeque<Body>,
}

/// The file whose registrar is the detector.
const DETECTOR: u64 = u64::MAX;

impl LockEngine {
    /// A member that holds nothing, as of `view`, in which it is. The effects announce it to the others.
    pub fn new(me: MemberNo, view: View) -> (Self, Vec<Effect>) {
        let registrars = Computed::new(&view);
        let mut engine = Self {
            me,
            view: Arc::new(view),
            registrars,
            holdings: Holdings::default(),
            pending: BTreeMap::new(),
            by_owner: BTreeSet::new(),
            routed: BTreeMap::new(),
            tables: BTreeMap::new(),
            idle: BTreeMap::new(),
            idle_clock: 0,
            gone: BTreeMap::new(),
            early_asks: BTreeMap::new(),
            managers: BTreeMap::new(),
            detector: Detector::default(),
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
            Input::Set { inode, request, token } => self.set(&mut turn, inode, request, token),
            Input::Test { inode, request, token } => self.test(&mut turn, inode, request, token),
            Input::Interrupt { token } => self.interrupt(&mut turn, token),
            Input::ReleaseOwner { inode, owner, token } => self.release_owner(&mut turn, inode, owner, token),
            Input::Recall { inode } => self.recall(&mut turn, inode),
            Input::Message { from, message } => self.receive(&mut turn, from, message),
            Input::View(view) => self.change_view(&mut turn, view),
        }
        self.drain(&mut turn);
        turn.effects
    }

    pub fn epoch(&self) -> Epoch {
        self.view.epoch
    }

    pub(super) fn registrar(&self, inode: u64) -> MemberNo {
        self.registrars.0.of_hash(hash(inode))
    }

    pub(super) fn detector_no(&self) -> MemberNo {
        self.registrar(DETECTOR)
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
            Body::Ask { inode, ask } => self.on_ask(turn, from, inode, ask),
            Body::Forward { inode, by, ask } => self.on_forward(turn, from, inode, by, ask),
            Body::Answer { token, verdict } => self.on_answer(turn, from, token, verdict),
            Body::Table { inode, parts, granted } => self.on_table(turn, from, inode, &parts, granted),
            Body::Moved { inode, to } => self.on_moved(turn, from, inode, to),
            Body::Confirm { inode } => self.on_confirm(turn, from, inode),
            Body::Seek(seek) => self.on_seek(turn, seek),
            Body::WhatWaits { search, owner, only } => self.on_what_waits(turn, search, owner, only),
            Body::Waits { search, requests } => self.on_waits(turn, search, requests),
            Body::Edges { search, edges, last } => self.on_edges(turn, search, edges, last),
            Body::Doomed { search, token } => self.on_doomed(turn, search, token),
            Body::Over { search } => self.on_over(turn, search),
            Body::Report { held, last } => self.on_report(turn, from, held, last),
        }
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
}

impl Computed {
    pub(super) fn new(view: &View) -> Self {
        Self(Arc::new(Registrars::new(view)))
    }
}

impl PartialEq for Computed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Computed {}

impl Hash for Computed {
    fn hash<H: Hasher>(&self, _: &mut H) {}
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
