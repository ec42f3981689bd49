//! The coherence engine of one shard of one node: a state machine, nothing else.
//!
//! # Contract
//!
//! - [`Engine::handle`] is called under the shard's lock; the effects that it returns are performed, in order, before the
//!   next input of the shard. Nothing in here waits, reads a clock, draws a random number or touches a page's bytes.
//! - All members cut the page space into the same shards (by `ExtentId::hash`), and shard `n` of one talks to shard `n` of another.
//! - Messages between two members of an epoch arrive once and in order. When a connection breaks between two members that
//!   both live, the membership raises the epoch.
//! - Views come in order and none is left out.
//! - Every `Revoke` and `Downgrade` is answered with `Released`, in bounded time.
//!
//! Bytes from a peer that make no sense lead to [`Effect::Distrust`], never to a panic or a change.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use scios::Nanos;

use super::directory::Entry;
use super::effects::Effects;
use super::held::Held;
use super::ids::{Epoch, ExtentId, MemberNo, PageId};
use super::input::{Effect, Input, View, Violation};
use super::leaving::Leaving;
use super::limits::{EARLY_MESSAGES_MAX, RUN_PAGES_MAX};
use super::message::{Body, Message};
#[cfg(feature = "mutations")]
use super::mutation::Mutation;
use super::placement::{Placement, Registrars};
use super::protocol::Protocol;
use super::recovery::Recovery;
use super::registry::{Extent, Registration};

#[derive(Clone, Debug)]
pub struct Config {
    /// How long a page stays with a winner before it has to be given on.
    pub hold_min: Duration,
    pub placement: Arc<dyn Placement>,
    pub protocol: Arc<dyn Protocol>,
    #[cfg(feature = "mutations")]
    pub mutation: Option<Mutation>,
}

/// Two engines are equal when they will behave the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    pub(super) me: MemberNo,
    pub(super) config: Constant<Config>,
    pub(super) view: Arc<View>,
    pub(super) registrars: Constant<Registrars>,
    /// Pages that this node holds or wants.
    pub(super) held: BTreeMap<PageId, Held>,
    /// Pages that have their home here and were ever touched.
    pub(super) directory: BTreeMap<PageId, Entry>,
    /// Extents that this node has to do with.
    pub(super) extents: BTreeMap<ExtentId, Extent>,
    /// Extents whose registrar this node is.
    pub(super) registered: BTreeMap<ExtentId, Registration>,
    /// From a change of epoch until every member has reported.
    pub(super) recovery: Option<Box<Recovery>>,
    /// Messages of an epoch that this node hasn't been told of.
    pub(super) early: Vec<(MemberNo, Message)>,
    /// This member is about to leave.
    pub(super) leaving: Option<Leaving>,
}

/// Shared and the same for the life of an engine or a function of its view, so no part of its identity.
#[derive(Clone, Debug)]
pub(super) struct Constant<T>(Arc<T>);

/// What one call of `handle` gathers.
pub(super) struct Turn {
    pub(super) now: Nanos,
    pub(super) effects: Effects,
    /// Messages of this node to itself: the local path costs no message.
    pub(super) to_self: VecDeque<(PageId, Body)>,
}

impl Engine {
    /// A member that holds nothing, as of `view`, in which it is. The effects announce it to the others.
    pub fn new(me: MemberNo, config: Arc<Config>, view: View) -> (Self, Effects) {
        let registrars = Constant(Arc::new(Registrars::new(&view)));
        let mut engine = Self {
            me,
            config: Constant(config),
            view: Arc::new(view),
            registrars,
            held: BTreeMap::new(),
            directory: BTreeMap::new(),
            extents: BTreeMap::new(),
            registered: BTreeMap::new(),
            recovery: None,
            early: Vec::new(),
            leaving: None,
        };
        let mut turn = Turn { now: Nanos::ZERO, effects: Effects::default(), to_self: VecDeque::new() };
        engine.report_all(&mut turn);
        turn.to_self.clear();
        (engine, turn.effects)
    }

    /// One step. See the contract above.
    pub fn handle(&mut self, now: Nanos, input: Input) -> Effects {
        let mut turn = Turn { now, effects: Effects::default(), to_self: VecDeque::new() };
        match input {
            Input::Fault(fault) => self.fault(&mut turn, fault),
            Input::Cancel { page, token } => self.cancel(&mut turn, page, token),
            Input::Released { page, run, mapper, left } => {
                for page in (0..u32::from(run)).map_while(|n| page.ahead(n)) {
                    self.released(&mut turn, page, mapper, left);
                }
            }
            Input::Evict { page } => self.evict(&mut turn, page),
            Input::Timer { page } => self.timer(&mut turn, page),
            Input::Message { from, message } => self.receive(&mut turn, from, message),
            Input::View(view) => self.change_view(&mut turn, view),
            Input::Leave => self.begin_leaving(),
            Input::Offer { page, run, to } => {
                for page in (0..u32::from(run)).map_while(|n| page.ahead(n)) {
                    self.send(&mut turn, to, page, Body::Take);
                }
            }
            Input::Close => self.close(&mut turn),
        }
        self.drain(&mut turn);
        turn.effects
    }

    pub fn epoch(&self) -> Epoch {
        self.view.epoch
    }

    fn drain(&mut self, turn: &mut Turn) {
        while let Some((page, body)) = turn.to_self.pop_front() {
            self.dispatch(turn, self.me, page, body);
        }
    }

    /// Fences by epoch: the past is dropped, the future is kept until this node gets there.
    pub(super) fn receive(&mut self, turn: &mut Turn, from: MemberNo, message: Message) {
        let current = message.epoch == self.epoch() || mutant!(self, AcceptOldEpoch);
        if message.epoch > self.epoch() {
            if self.early.len() >= EARLY_MESSAGES_MAX {
                return turn.distrust(from, message.page, Violation::TooEarly);
            }
            self.early.push((from, message));
        } else if current {
            let in_extent = message.page.ahead(u32::from(message.run).saturating_sub(1)).is_some();
            if !in_extent || !(1..=RUN_PAGES_MAX).contains(&message.run) {
                return turn.distrust(from, message.page, Violation::BadRun);
            }
            for page in (0..u32::from(message.run)).filter_map(|n| message.page.ahead(n)) {
                self.dispatch(turn, from, page, message.body.clone());
            }
        }
    }

    fn dispatch(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, body: Body) {
        match body {
            Body::Where => self.on_where(turn, from, page.extent()),
            Body::Here { home } => self.on_here(turn, from, page.extent(), home),
            Body::Note { home } => self.on_note(turn, from, page.extent(), home),
            Body::Noted => self.on_noted(turn, from, page.extent()),
            Body::Get { mode, fresh } => self.on_get(turn, from, page, mode, fresh),
            Body::Put => self.on_put(turn, from, page),
            Body::Done => self.on_done(turn, from, page),
            Body::Order(order) => self.on_order(turn, from, page, order),
            Body::Grant(grant) => self.on_grant(turn, from, page, grant),
            Body::Refuse => self.on_refuse(turn, from, page),
            Body::Ack => self.on_ack(turn, from, page),
            Body::Got => self.on_got(turn, from, page),
            Body::Settle { keep } => self.on_settle(turn, from, page, keep),
            Body::Report(report) => self.on_report(turn, from, report),
            Body::Take => self.on_take(turn, page),
            Body::Farewell(report) => self.on_farewell(turn, from, report),
            Body::Heard => self.on_heard(turn, from),
        }
    }

    pub(super) fn send(&self, turn: &mut Turn, to: MemberNo, page: PageId, body: Body) {
        if to == self.me {
            turn.to_self.push_back((page, body));
        } else {
            turn.effects.send(to, Message { epoch: self.epoch(), page, run: 1, body });
        }
    }

    /// To the page's home, which whoever holds or is given a page knows.
    pub(super) fn send_home(&self, turn: &mut Turn, page: PageId, body: Body) {
        if let Some(home) = self.home_of(page) {
            self.send(turn, home, page, body);
        }
    }
}

/// Whether the engine was built with this fault, to see that the checker finds it. Never in production.
macro_rules! mutant {
    ($engine:expr, $name:ident) => {{
        #[cfg(feature = "mutations")]
        let is_mutant = $engine.config.mutation == Some(super::mutation::Mutation::$name);
        #[cfg(not(feature = "mutations"))]
        let is_mutant = false;
        is_mutant
    }};
}
pub(super) use mutant;

impl Turn {
    pub(super) fn distrust(&mut self, peer: MemberNo, page: PageId, why: impl Into<Violation>) {
        self.effects.push(Effect::Distrust { peer, page, why: why.into() });
    }
}

impl<T> Constant<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Constant<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> PartialEq for Constant<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Constant<T> {}

impl<T> Hash for Constant<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
