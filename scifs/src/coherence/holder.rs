//! The holder's part: local requests, orders of homes, grants. What happens next to a page is decided by `Held::next`;
//! here it is done.

use scios::Nanos;

use super::engine::{Engine, Turn, mutant};
use super::held::{Duty, Held, Step, Waiter};
use super::ids::{MapperId, MemberNo, Mode, PageId, Token};
use super::input::{Effect, Fault, PageError};
use super::limits::WAITERS_MAX;
use super::message::{Body, Confirm, Data, Grant, Order, Task};
use super::page_state::{PageEvent, PageState};
use super::protocol::Loses;

impl Engine {
    pub(super) fn fault(&mut self, turn: &mut Turn, fault: Fault) {
        let Fault { page, mapper, mode, fresh, run, token } = fault;
        self.want(turn, page, Waiter { mapper, mode, fresh, token: Some(token) });
        // Nobody can fill the kernel's page cache unasked; for it, pages fetched ahead only come to this node.
        let mapper = if mapper.copies() { MapperId::DIRECT } else { mapper };
        for ahead in (1..u32::from(run)).map_while(|n| page.ahead(n)) {
            self.want(turn, ahead, Waiter { mapper, mode, fresh: false, token: None });
        }
    }

    /// One mapper wants one page: at once if nothing stands against it, else in turn.
    pub(super) fn want(&mut self, turn: &mut Turn, page: PageId, waiter: Waiter) {
        let protocol = self.config.protocol.clone();
        let held = self.held.entry(page).or_default();
        if held.is_open_to(waiter, &*protocol) {
            held.map(waiter.mapper, waiter.mode);
            return turn.install(page, waiter);
        }
        let busy = held.busy();
        if busy.waiters.len() < WAITERS_MAX {
            busy.waiters.push_back(waiter);
        } else if let Some(token) = waiter.token {
            turn.effects.push(Effect::Failed { page, token, error: PageError::Busy });
        }
        self.advance(turn, page);
    }

    pub(super) fn cancel(&mut self, turn: &mut Turn, page: PageId, token: Token) {
        if let Some(busy) = self.held.get_mut(&page).and_then(|h| h.busy.as_mut()) {
            busy.waiters.retain(|w| w.token != Some(token) || w.fresh);
        }
        self.advance(turn, page);
    }

    pub(super) fn released(&mut self, turn: &mut Turn, page: PageId, mapper: MapperId, left: Option<Mode>) {
        let hold_until = self.hold_until(turn.now);
        let hold_until_longer = self.hold_until(turn.now + self.config.hold_min * 2);
        let Some(held) = self.held.get_mut(&page) else { return };
        held.unmap(mapper, left);
        if let Some(busy) = &mut held.busy {
            let before = busy.leaving.len();
            busy.leaving.retain(|m| *m != mapper);
            // A hand-over between two mappers of this node: the next one gets its time, too. One that copies the page loses much
            // of it before its program runs.
            if before > 0
                && busy.leaving.is_empty()
                && busy.duty.is_none()
                && let Some(next) = busy.waiters.front()
            {
                held.hold_until = if next.mapper.copies() { hold_until_longer } else { hold_until };
            }
        }
        self.advance(turn, page);
    }

    pub(super) fn evict(&mut self, turn: &mut Turn, page: PageId) {
        let idle = |h: &Held| {
            h.busy.is_none()
                && h.mappers.is_empty()
                && matches!(h.state, PageState::Shared | PageState::Exclusive)
        };
        if self.held.get(&page).is_some_and(idle) {
            self.send_home(turn, page, Body::Put);
        }
    }

    pub(super) fn timer(&mut self, turn: &mut Turn, page: PageId) {
        if let Some(busy) = self.held.get_mut(&page).and_then(|h| h.busy.as_mut()) {
            busy.timer = false;
        }
        self.advance(turn, page);
    }

    /// Does whatever can be done for a page now.
    pub(super) fn advance(&mut self, turn: &mut Turn, page: PageId) {
        let protocol = self.config.protocol.clone();
        while let Some(held) = self.held.get(&page) {
            let going_on = match held.next(turn.now, &*protocol) {
                Step::Nothing => false,
                Step::Clear(losers) => self.clear(turn, page, losers),
                Step::Perform(duty) => self.perform(turn, page, duty),
                Step::Install(waiter) => self.serve(turn, page, waiter),
                Step::Ask { mode, fresh } => self.ask(turn, page, mode, fresh),
                Step::SetTimer(at) => self.set_timer(turn, page, at),
            };
            if !going_on {
                break;
            }
        }
        if let Some(held) = self.held.get_mut(&page) {
            held.settle_down();
            if held.is_forgettable() {
                self.held.remove(&page);
            }
        }
    }

    fn clear(&mut self, turn: &mut Turn, page: PageId, losers: Vec<(MapperId, Loses)>) -> bool {
        let ignore = mutant!(self, DontWaitForMappers);
        let Some(held) = self.held.get_mut(&page) else { return false };
        for (mapper, loses) in losers {
            turn.effects.push(match loses {
                Loses::Writing => Effect::Downgrade { page, mapper },
                Loses::All | Loses::Nothing => Effect::Revoke { page, mapper },
            });
            if ignore {
                held.unmap(mapper, None);
            } else {
                held.busy().leaving.push(mapper);
            }
        }
        ignore
    }

    fn serve(&mut self, turn: &mut Turn, page: PageId, waiter: Waiter) -> bool {
        let Some(held) = self.held.get_mut(&page) else { return false };
        let busy = held.busy();
        busy.waiters.pop_front();
        busy.owed = false;
        let last = busy.waiters.is_empty();
        held.map(waiter.mapper, waiter.mode);
        if waiter.mapper == MapperId::DIRECT && last && held.mappers.is_empty() {
            // The access is over with this; there is nobody whose progress holding the page would help.
            held.hold_until = Nanos::ZERO;
        }
        turn.install(page, waiter);
        true
    }

    fn ask(&mut self, turn: &mut Turn, page: PageId, mode: Mode, fresh: bool) -> bool {
        if self.home_of(page).is_none() {
            self.look_for_home(turn, page.extent());
            return false;
        }
        if self.change(turn, self.me, page, PageEvent::Ask(mode)) {
            self.send_home(turn, page, Body::Get { mode, fresh });
            return true;
        }
        false
    }

    fn set_timer(&mut self, turn: &mut Turn, page: PageId, at: Nanos) -> bool {
        if let Some(held) = self.held.get_mut(&page) {
            held.busy().timer = true;
            turn.effects.push(Effect::SetTimer { page, at });
        }
        false
    }

    /// Carries out an order, now that no mapper stands against it.
    fn perform(&mut self, turn: &mut Turn, page: PageId, duty: Duty) -> bool {
        let Order { task, to, acks, version } = duty.order;
        if let Some(held) = self.held.get_mut(&page) {
            held.busy().duty = None;
        }
        if !self.ignores(page, task) && !self.change(turn, duty.from, page, event_of(task)) {
            return false;
        }
        let home_lends = duty.from == self.me;
        match task {
            Task::Lend => {
                let confirm = if home_lends { Confirm::Nobody } else { Confirm::Home };
                let grant = Grant { mode: Mode::Read, data: Data::Carried, acks: 0, version, confirm };
                self.send(turn, to, page, Body::Grant(grant));
                if home_lends {
                    self.send_home(turn, page, Body::Done);
                }
            }
            Task::Cede => {
                let grant =
                    Grant { mode: Mode::Write, data: Data::Carried, acks, version, confirm: Confirm::Giver };
                self.send(turn, to, page, Body::Grant(grant));
                if let Some(held) = self.held.get_mut(&page) {
                    held.busy().taker = Some(to);
                }
            }
            Task::Invalidate => {
                turn.effects.push(Effect::Free { page });
                self.send(turn, to, page, Body::Ack);
            }
            Task::Expel => {
                turn.effects.push(Effect::Free { page });
                self.send_home(turn, page, Body::Done);
            }
        }
        true
    }

    #[cfg(not(feature = "mutations"))]
    fn ignores(&self, _: PageId, _: Task) -> bool {
        false
    }

    #[cfg(feature = "mutations")]
    fn ignores(&self, page: PageId, task: Task) -> bool {
        let state = self.held.get(&page).map_or(PageState::Invalid, |h| h.state);
        self.config.mutation.is_some_and(|mutation| mutation.ignores(state, task))
    }

    /// Changes a page's state, or distrusts who asked for the impossible.
    pub(super) fn change(&mut self, turn: &mut Turn, from: MemberNo, page: PageId, event: PageEvent) -> bool {
        let held = self.held.entry(page).or_default();
        match held.state.on(event) {
            Ok(state) => {
                held.state = state;
                true
            }
            Err(why) => {
                turn.distrust(from, page, why);
                false
            }
        }
    }

    /// Fails the waiters that need the bytes of a page that has none.
    pub(super) fn fail_waiters(&mut self, turn: &mut Turn, page: PageId) {
        let Some(busy) = self.held.get_mut(&page).and_then(|h| h.busy.as_mut()) else { return };
        for waiter in busy.waiters.iter().filter(|w| !w.fresh) {
            if let Some(token) = waiter.token {
                turn.effects.push(Effect::Failed { page, token, error: PageError::Lost });
            }
        }
        busy.waiters.retain(|w| w.fresh);
    }

    pub(super) fn hold_until(&self, now: Nanos) -> Nanos {
        if self.config.hold_min.is_zero() { Nanos::ZERO } else { now + self.config.hold_min }
    }
}

pub(super) fn event_of(task: Task) -> PageEvent {
    match task {
        Task::Lend => PageEvent::Lend,
        Task::Cede => PageEvent::Cede,
        Task::Invalidate | Task::Expel => PageEvent::Drop,
    }
}

impl Turn {
    fn install(&mut self, page: PageId, waiter: Waiter) {
        let Waiter { mapper, mode, token, .. } = waiter;
        self.effects.push(Effect::Install { page, mapper, mode, token });
    }
}
