//! One simulated node: the production engine, and in place of memory, kernel and programs the smallest thing that behaves
//! like them. A page's bytes are one number: how many writes to that page came before.

use std::collections::{BTreeMap, BTreeSet};

use scifs::coherence::{
    Body, Data, Effect, Effects, Engine, Fault, Grant, Input, MapperId, MemberNo, Message, Mode, PageId,
    Stays, Token,
};
use scios::Nanos;

use super::violation::Violation;

/// A page's content.
pub type Value = u32;

/// What a program does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    Read(PageId),
    Write(PageId),
    /// All of the page, so its old bytes aren't needed.
    Overwrite(PageId),
}

/// A program's thread: one operation at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    pub mapper: MapperId,
    pub done: u32,
    pub doing: Option<Op>,
}

/// What a thread got to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Read(Value),
    Wrote(Value),
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub thread: usize,
    pub page: PageId,
    pub seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    pub message: Message,
    pub data: Vec<Value>,
}

/// What one step of a station caused outside of it.
#[derive(Debug, Default)]
pub struct Output {
    pub sent: Vec<(MemberNo, Packet)>,
    pub events: Vec<Event>,
    pub timers: Vec<(PageId, Nanos)>,
    /// Work for the surfaces, when they take their time.
    pub surfaces: Vec<(PageId, MapperId)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Station {
    pub engine: Engine,
    pub threads: Vec<Thread>,
    frames: BTreeMap<PageId, Value>,
    /// The kernel's page cache: bytes of its own.
    cache: BTreeMap<PageId, Value>,
    /// Who can load or store without anybody noticing.
    pub maps: BTreeMap<(PageId, MapperId), Mode>,
    /// Mappings that are being taken away, and what stays of them.
    pub leaving: BTreeMap<(PageId, MapperId), Option<Mode>>,
    pub timers: BTreeSet<PageId>,
    /// Surfaces answer at once instead of in a step of their own.
    prompt: bool,
    /// Values aren't checked.
    pub forgetful: bool,
    /// It is about to leave, to this heir, and has done what can be done about these pages.
    leaver: Option<(MemberNo, BTreeMap<PageId, Stays>)>,
}

/// The last write to each page. Owned by the world, since it is what all nodes must agree on.
pub type Clock = BTreeMap<PageId, Last>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Last {
    pub value: Value,
    /// As whom and as which version of the page it was written.
    pub writer: Option<MemberNo>,
    pub version: u64,
}

impl Station {
    pub fn new(engine: Engine, mappers: &[MapperId], prompt: bool) -> Self {
        let thread = |mapper: &MapperId| Thread { mapper: *mapper, done: 0, doing: None };
        Self {
            engine,
            threads: mappers.iter().map(thread).collect(),
            frames: BTreeMap::new(),
            cache: BTreeMap::new(),
            maps: BTreeMap::new(),
            leaving: BTreeMap::new(),
            timers: BTreeSet::new(),
            prompt,
            forgetful: false,
            leaver: None,
        }
    }

    /// A thread begins an operation: a plain load or store if its mapping allows it, else a fault.
    pub fn begin(
        &mut self,
        now: Nanos,
        thread: usize,
        op: Op,
        run: u16,
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let (page, mode, fresh) = op.parts();
        let mapper = self.threads[thread].mapper;
        self.threads[thread].doing = Some(op);
        if self.maps.get(&(page, mapper)).is_some_and(|held| *held >= mode) {
            return self.access(thread, page, clock, out);
        }
        let token = Token(thread as u64);
        self.feed(now, Input::Fault(Fault { page, mapper, mode, fresh, run, token }), &[], clock, out)
    }

    /// Finds out where a page's home is, and nothing more.
    pub fn look_up(&mut self, page: PageId, clock: &mut Clock, out: &mut Output) -> Result<(), Violation> {
        let token = Token(u64::MAX);
        let fault = Fault { page, mapper: MapperId::DIRECT, mode: Mode::Read, fresh: false, run: 1, token };
        if self.engine.home(page).is_none() {
            self.feed(Nanos::ZERO, Input::Fault(fault), &[], clock, out)?;
            self.feed(Nanos::ZERO, Input::Cancel { page, token }, &[], clock, out)?;
        }
        Ok(())
    }

    /// Puts one input in and does what comes out.
    pub fn feed(
        &mut self,
        now: Nanos,
        input: Input,
        data: &[Value],
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        self.put_in(now, input, data, clock, out)?;
        self.tend_leave(now, clock, out)
    }

    /// Begins to leave: nothing is asked for any more, and what only it has goes to `heir`.
    pub fn leave(
        &mut self,
        now: Nanos,
        heir: MemberNo,
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        self.leaver = Some((heir, BTreeMap::new()));
        self.feed(now, Input::Leave, &[], clock, out)
    }

    pub fn is_leaving(&self) -> bool {
        self.leaver.is_some()
    }

    /// What the driver of a node that leaves does after whatever happens.
    fn tend_leave(&mut self, now: Nanos, clock: &mut Clock, out: &mut Output) -> Result<(), Violation> {
        if self.leaver.is_none() {
            return Ok(());
        }
        let mapped: Vec<_> =
            self.maps.keys().filter(|map| !self.leaving.contains_key(map)).copied().collect();
        for (page, mapper) in mapped {
            self.leaving.insert((page, mapper), None);
            self.let_go(now, page, mapper, clock, out)?;
        }
        let Some((heir, handled)) = &mut self.leaver else { return Ok(()) };
        let (heir, all): (_, BTreeMap<_, _>) = (*heir, self.engine.to_hand_over(None).collect());
        let new: Vec<_> = all.iter().filter(|(page, how)| handled.get(page) != Some(how)).collect();
        let inputs: Vec<_> = new
            .into_iter()
            .filter_map(|(page, how)| match how {
                Stays::OnlyHere => Some(Input::Offer { page: *page, run: 1, to: heir }),
                Stays::Away => Some(Input::Evict { page: *page }),
                Stays::Busy => None,
            })
            .collect();
        *handled = all;
        let done = handled.is_empty();
        for input in inputs {
            self.put_in(now, input, &[], clock, out)?;
        }
        if done {
            self.put_in(now, Input::Close, &[], clock, out)?;
        }
        Ok(())
    }

    fn put_in(
        &mut self,
        now: Nanos,
        input: Input,
        data: &[Value],
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let base = match &input {
            Input::Message { message, .. } => Some(message.page),
            Input::Timer { page } => {
                self.timers.remove(page);
                None
            }
            _ => None,
        };
        let effects = self.engine.handle(now, input);
        let left = self.perform(effects, base, data, clock, out)?;
        for (page, mapper) in left {
            self.let_go(now, page, mapper, clock, out)?;
        }
        Ok(())
    }

    /// The surface has done what it was told: what was changed is in the frame, the mapping is gone.
    pub fn release(
        &mut self,
        now: Nanos,
        page: PageId,
        mapper: MapperId,
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        self.let_go(now, page, mapper, clock, out)?;
        self.tend_leave(now, clock, out)
    }

    fn let_go(
        &mut self,
        now: Nanos,
        page: PageId,
        mapper: MapperId,
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Some(left) = self.leaving.remove(&(page, mapper)) else { return Ok(()) };
        let held = self.maps.remove(&(page, mapper));
        if mapper.copies()
            && let Some(value) = self.cache.remove(&page)
            && held == Some(Mode::Write)
        {
            self.frames.insert(page, value);
        }
        let left = left.filter(|_| !mapper.copies() && held.is_some());
        if let Some(left) = left {
            self.maps.insert((page, mapper), left);
        }
        self.put_in(now, Input::Released { page, run: 1, mapper, left }, &[], clock, out)
    }

    /// Performs effects; gives back the mappings that prompt surfaces are to release.
    pub fn perform(
        &mut self,
        effects: Effects,
        base: Option<PageId>,
        data: &[Value],
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<Vec<(PageId, MapperId)>, Violation> {
        let mut released = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    let data = self.attach(&message)?;
                    out.sent.push((to, Packet { message, data }));
                }
                Effect::Fill { page } => {
                    let at = base.map(|base| page.index.wrapping_sub(base.index) as usize);
                    let value = at.and_then(|at| data.get(at)).ok_or(Violation::NoBytes(page))?;
                    self.frames.insert(page, *value);
                }
                Effect::Zero { page } => {
                    self.frames.insert(page, 0);
                }
                Effect::Free { page } => {
                    if self.maps.keys().any(|(mapped, _)| *mapped == page) {
                        return Err(Violation::FreedWhileMapped(page));
                    }
                    self.frames.remove(&page).ok_or(Violation::NoBytes(page))?;
                }
                Effect::Install { page, mapper, mode, token } => {
                    self.install(page, mapper, mode)?;
                    if let Some(token) = token {
                        self.access(token.0 as usize, page, clock, out)?;
                    }
                }
                Effect::Revoke { page, mapper } => self.take(page, mapper, None, &mut released, out),
                Effect::Downgrade { page, mapper } => {
                    self.take(page, mapper, Some(Mode::Read), &mut released, out);
                }
                Effect::Failed { page, token, .. } => {
                    let thread = token.0 as usize;
                    self.finish(thread);
                    out.events.push(Event { thread, page, seen: Seen::Lost });
                }
                Effect::SetTimer { page, at } => {
                    self.timers.insert(page);
                    out.timers.push((page, at));
                }
                Effect::Distrust { peer, page, why } => return Err(Violation::Distrust { peer, page, why }),
                Effect::Rejoin => return Err(Violation::Rejoin),
            }
        }
        Ok(released)
    }

    fn attach(&self, message: &Message) -> Result<Vec<Value>, Violation> {
        if !matches!(message.body, Body::Grant(Grant { data: Data::Carried, .. })) {
            return Ok(Vec::new());
        }
        let pages = (0..u32::from(message.run)).filter_map(|n| message.page.ahead(n));
        pages.map(|page| self.frames.get(&page).copied().ok_or(Violation::NoBytes(page))).collect()
    }

    fn install(&mut self, page: PageId, mapper: MapperId, mode: Mode) -> Result<(), Violation> {
        let value = *self.frames.get(&page).ok_or(Violation::NoBytes(page))?;
        if mapper == MapperId::DIRECT {
            return Ok(());
        }
        let held = self.maps.entry((page, mapper)).or_insert(mode);
        *held = (*held).max(mode);
        if mapper.copies() {
            self.cache.entry(page).or_insert(value);
        }
        Ok(())
    }

    fn take(
        &mut self,
        page: PageId,
        mapper: MapperId,
        left: Option<Mode>,
        released: &mut Vec<(PageId, MapperId)>,
        out: &mut Output,
    ) {
        self.leaving.insert((page, mapper), left);
        if self.prompt {
            released.push((page, mapper));
        } else {
            out.surfaces.push((page, mapper));
        }
    }

    /// The load or store itself.
    fn access(
        &mut self,
        thread: usize,
        page: PageId,
        clock: &mut Clock,
        out: &mut Output,
    ) -> Result<(), Violation> {
        let Thread { mapper, doing: Some(op), .. } = self.threads[thread] else { return Ok(()) };
        let bytes = if mapper.copies() { &mut self.cache } else { &mut self.frames };
        let value = bytes.get_mut(&page).ok_or(Violation::NoBytes(page))?;
        let last = clock.entry(page).or_default();
        // A write changes a few bytes of the page, so it needs the others to be current as much as a read does.
        if !self.forgetful && *value != last.value && !matches!(op, Op::Overwrite(_)) {
            return Err(Violation::StaleRead { page, got: *value, last: last.value });
        }
        let seen = match op {
            Op::Read(_) => Seen::Read(*value),
            Op::Write(_) | Op::Overwrite(_) => {
                let me = self.engine.me();
                // An access that is an effect may be the last thing before the page goes away.
                let held = self.engine.page(page).filter(|p| p.state.permits(Mode::Write));
                let version = held.map_or(last.version, |p| p.version);
                let reused = version <= last.version && last.writer != Some(me);
                if held.is_some() && reused && !self.forgetful {
                    return Err(Violation::VersionReused { page, version, last: last.version });
                }
                *last = Last { value: last.value + 1, version, writer: Some(me) };
                *value = last.value;
                Seen::Wrote(last.value)
            }
        };
        self.finish(thread);
        out.events.push(Event { thread, page, seen });
        Ok(())
    }

    fn finish(&mut self, thread: usize) {
        self.threads[thread].doing = None;
        self.threads[thread].done += 1;
    }

    pub fn has_frame(&self, page: PageId) -> bool {
        self.frames.contains_key(&page)
    }
}

impl Op {
    pub fn parts(self) -> (PageId, Mode, bool) {
        match self {
            Self::Read(page) => (page, Mode::Read, false),
            Self::Write(page) => (page, Mode::Write, false),
            Self::Overwrite(page) => (page, Mode::Write, true),
        }
    }
}
