//! The home's part: requests for a page in order, one at a time.

use super::directory::{Entry, Request, Transfer};
use super::engine::{Engine, Turn, mutant};
use super::held::Waiter;
use super::ids::{MapperId, MemberNo, Mode, PageId};
use super::input::Violation;
use super::message::{Body, Confirm, Data, Grant, Order, Task};
use super::protocol::{Ask, Holders, Plan, Source};

/// The epoch is a version's upper part: so versions grow even when a page is rewritten whose versions nobody remembers.
const VERSION_EPOCH_SHIFT: u32 = 32;

impl Engine {
    pub(super) fn on_get(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, mode: Mode, fresh: bool) {
        if mutant!(self, DropQueued) && self.directory.get(&page).is_some_and(|e| e.busy.is_some()) {
            return;
        }
        self.enqueue(turn, from, page, Request::Get(Ask { by: from, mode, fresh }));
    }

    pub(super) fn on_put(&mut self, turn: &mut Turn, from: MemberNo, page: PageId) {
        self.enqueue(turn, from, page, Request::Put(from));
    }

    fn enqueue(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, request: Request) {
        if !self.is_home(page.extent()) {
            return turn.distrust(from, page, Violation::NotHome);
        }
        self.entry(page).enqueue(request);
        self.start(turn, page);
    }

    /// What is under way is complete.
    pub(super) fn on_done(&mut self, turn: &mut Turn, from: MemberNo, page: PageId) {
        let busy = self.directory.get_mut(&page).and_then(|e| e.busy.as_deref_mut());
        match busy {
            Some(busy) if busy.transfer.is_some_and(|t| t.expect == from) => {
                busy.transfer = None;
                self.start(turn, page);
            }
            _ => turn.distrust(from, page, Violation::Unasked),
        }
    }

    /// The record of a page that has its home here.
    pub(super) fn entry(&mut self, page: PageId) -> &mut Entry {
        let lost = self.extents.get(&page.extent()).is_some_and(|e| e.lost);
        let holders = if lost { Holders::Lost } else { Holders::Untouched };
        self.directory.entry(page).or_insert_with(|| Entry { holders, ..Entry::default() })
    }

    /// Begins what can begin. Nothing does before every member has reported after a change of epoch.
    pub(super) fn start(&mut self, turn: &mut Turn, page: PageId) {
        if !self.begins() {
            return;
        }
        while let Some(request) = self.directory.get_mut(&page).and_then(Entry::next) {
            if self.declines(request) {
                continue;
            }
            let transfer = match request {
                Request::Get(ask) => self.grant(turn, page, ask),
                Request::Put(by) => self.take_back(turn, page, by),
            };
            if mutant!(self, DontWaitForDone) {
                continue;
            }
            self.entry(page).busy().transfer = transfer;
        }
    }

    fn grant(&mut self, turn: &mut Turn, page: PageId, ask: Ask) -> Option<Transfer> {
        let me = self.me;
        let protocol = self.config.protocol.clone();
        let mut plan = protocol.plan(&self.entry(page).holders, me, ask);
        self.spoil(&mut plan, ask);
        if plan.source == Source::Nowhere {
            self.send(turn, ask.by, page, Body::Refuse);
            return None;
        }
        let raise = ask.mode == Mode::Write && !mutant!(self, ReuseVersion);
        let first_of_epoch = self.epoch().0 << VERSION_EPOCH_SHIFT;
        let entry = self.entry(page);
        let was_lost = entry.holders == Holders::Lost;
        if raise {
            entry.version = first_of_epoch.max(entry.version + 1);
        }
        entry.lent = ask.mode == Mode::Read && (entry.lent || plan.source == Source::From(me));
        entry.holders = plan.after;
        let version = entry.version;
        let acks = plan.invalidate.len() as u16;
        for sharer in plan.invalidate.iter() {
            let order = Order { task: Task::Invalidate, to: ask.by, acks: 0, version };
            self.send(turn, sharer, page, Body::Order(order));
        }
        let (data, giver) = match plan.source {
            Source::From(giver) => return Some(self.forward(turn, page, ask, giver, acks, version)),
            Source::Kept => (Data::Kept, None),
            Source::Zero | Source::Nowhere => (Data::Zero, None),
        };
        // Without acknowledgements the order of messages between home and asker is all it takes. Zeros that stand for bytes
        // which are gone must have arrived, though: if they don't, the page isn't zeros but lost.
        let wait = acks > 0 || was_lost;
        let confirm = if wait { Confirm::Home } else { Confirm::Nobody };
        let grant = Grant { mode: ask.mode, data, acks, version, confirm };
        self.send(turn, ask.by, page, Body::Grant(grant));
        wait.then_some(Transfer { expect: ask.by, giver, revives: was_lost, keeps: false })
    }

    fn forward(
        &mut self,
        turn: &mut Turn,
        page: PageId,
        ask: Ask,
        giver: MemberNo,
        acks: u16,
        version: u64,
    ) -> Transfer {
        let task = if ask.mode == Mode::Read { Task::Lend } else { Task::Cede };
        self.send(turn, giver, page, Body::Order(Order { task, to: ask.by, acks, version }));
        let expect = match task {
            Task::Lend if giver != self.me => ask.by,
            _ => giver,
        };
        Transfer { expect, giver: Some(giver), revives: false, keeps: false }
    }

    /// A member would like to give up its copy. A surplus one is dropped; the only one comes home. The home's own copy
    /// stays if others were lent from it: they may not have arrived yet.
    fn take_back(&mut self, turn: &mut Turn, page: PageId, by: MemberNo) -> Option<Transfer> {
        let me = self.me;
        let expel_last = mutant!(self, ExpelLastCopy);
        let drop_lent = mutant!(self, DropLentCopy);
        let entry = self.entry(page);
        let (version, surplus) = (entry.version, entry.is_surplus(by, me));
        if !entry.holders.contains(by) {
            return None;
        }
        if let Holders::Shared(set) = &mut entry.holders
            && (surplus || expel_last || drop_lent && set.len() > 1)
        {
            set.remove(by);
            if set.is_empty() {
                entry.holders = Holders::Untouched;
            }
            let order = Order { task: Task::Expel, to: me, acks: 0, version };
            self.send(turn, by, page, Body::Order(order));
            return Some(Transfer { expect: by, giver: None, revives: false, keeps: false });
        }
        if by == me {
            return None;
        }
        let waiter = Waiter { mapper: MapperId::DIRECT, mode: Mode::Write, fresh: false, token: None };
        self.want(turn, page, waiter);
        None
    }

    #[cfg(not(feature = "mutations"))]
    fn spoil(&self, _: &mut Plan, _: Ask) {}

    #[cfg(feature = "mutations")]
    fn spoil(&self, plan: &mut Plan, ask: Ask) {
        if let Some(mutation) = self.config.mutation {
            mutation.spoil(plan, ask);
        }
    }
}
