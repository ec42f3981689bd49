//! One page as a holder knows it: its state, who maps it on this node, what is waiting. [`Held::next`] decides what
//! happens next, as a pure function; `holder.rs` does it.
//!
//! An idle page is one small record. Everything that only a page in motion needs is boxed away.

use std::collections::VecDeque;

use scios::Nanos;

use super::ids::{MapperId, MemberNo, Mode, Token};
use super::message::{Confirm, Order};
use super::page_state::PageState;
use super::protocol::{Loses, Protocol};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) state: PageState,
    pub(super) version: u64,
    /// Until then, what was won stays here: requests of others wait, so that the winner makes progress.
    pub(super) hold_until: Nanos,
    pub(super) mappers: Vec<(MapperId, Mode)>,
    pub(super) busy: Option<Box<Busy>>,
}

/// What a page in motion needs beyond its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Busy {
    /// Local requests, first come first served.
    pub(super) waiters: VecDeque<Waiter>,
    /// What the home ordered and is not done yet. At most one: a home does one thing at a time to a page.
    pub(super) duty: Option<Duty>,
    /// Mappers that were told to give way and have not answered.
    pub(super) leaving: Vec<MapperId>,
    /// A grant came for the first waiter, who has not been served from it: orders wait for that.
    pub(super) owed: bool,
    pub(super) timer: bool,
    pub(super) acks_due: Option<u16>,
    pub(super) acks: u16,
    pub(super) confirm: Option<(Confirm, MemberNo)>,
    /// The grant was for zeros, which are filled in when it is complete.
    pub(super) zero: bool,
    /// Who has been given the page that is kept here until it has arrived.
    pub(super) taker: Option<MemberNo>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiter {
    pub(super) mapper: MapperId,
    pub(super) mode: Mode,
    pub(super) fresh: bool,
    /// `None` for pages fetched ahead: nobody waits.
    pub(super) token: Option<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Duty {
    pub(super) order: Order,
    /// The page's home.
    pub(super) from: MemberNo,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Mappers give way, to nothing or to reading.
    Clear(Vec<(MapperId, Loses)>),
    Perform(Duty),
    Install(Waiter),
    Ask {
        mode: Mode,
        fresh: bool,
    },
    SetTimer(Nanos),
}

impl Default for Held {
    fn default() -> Self {
        Self {
            state: PageState::Invalid,
            version: 0,
            hold_until: Nanos::ZERO,
            mappers: Vec::new(),
            busy: None,
        }
    }
}

impl Held {
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.state == PageState::Invalid && self.busy.is_none() && self.mappers.is_empty()
    }

    /// Gives back what only a page in motion needs.
    pub(super) fn settle_down(&mut self) {
        if self.busy.as_deref() == Some(&Busy::default()) {
            self.busy = None;
        }
        if self.state == PageState::Invalid {
            self.hold_until = Nanos::ZERO;
            self.version = 0;
        }
    }

    /// What happens next. Orders come before local requests once the hold time is over, so nobody here can starve the
    /// other nodes; but the request that a grant was for comes before any order, so nobody there can starve this one.
    pub(super) fn next(&self, now: Nanos, protocol: &dyn Protocol) -> Step {
        let Some(busy) = self.busy.as_deref() else { return Step::Nothing };
        if !busy.leaving.is_empty() {
            return Step::Nothing;
        }
        let first = busy.waiters.front().copied();
        let owed = busy.owed && first.is_some_and(|w| self.state.permits(w.mode));
        let held = now < self.hold_until;
        match busy.duty {
            Some(duty) if !owed && !held => self.next_for_duty(duty, protocol),
            duty => match first {
                Some(waiter) => self.next_for_waiter(waiter, busy, held && !owed, duty.is_some(), protocol),
                None if duty.is_some() && held => self.wait_for_hold(busy),
                None => Step::Nothing,
            },
        }
    }

    fn next_for_duty(&self, duty: Duty, protocol: &dyn Protocol) -> Step {
        let out = self.losers(|_, mode| protocol.order_takes(mode, duty.order.task));
        if out.is_empty() { Step::Perform(duty) } else { Step::Clear(out) }
    }

    fn next_for_waiter(
        &self,
        waiter: Waiter,
        busy: &Busy,
        held: bool,
        duty: bool,
        protocol: &dyn Protocol,
    ) -> Step {
        if !self.state.permits(waiter.mode) {
            return match self.state {
                PageState::Invalid | PageState::Shared => busy.ask(),
                _ if duty && held => self.wait_for_hold(busy),
                _ => Step::Nothing,
            };
        }
        let out = self.neighbours_in_the_way(waiter, protocol);
        match out.is_empty() {
            true => Step::Install(waiter),
            false if held => self.wait_for_hold(busy),
            false => Step::Clear(out),
        }
    }

    fn wait_for_hold(&self, busy: &Busy) -> Step {
        if busy.timer { Step::Nothing } else { Step::SetTimer(self.hold_until) }
    }

    fn losers(&self, takes: impl Fn(MapperId, Mode) -> Loses) -> Vec<(MapperId, Loses)> {
        let all = self.mappers.iter().map(|(mapper, mode)| (*mapper, takes(*mapper, *mode)));
        all.filter(|(_, loses)| *loses != Loses::Nothing).collect()
    }

    /// Whether a request can be served at once, without queueing.
    pub(super) fn is_open_to(&self, waiter: Waiter, protocol: &dyn Protocol) -> bool {
        self.busy.is_none()
            && self.state.permits(waiter.mode)
            && self.neighbours_in_the_way(waiter, protocol).is_empty()
    }

    fn neighbours_in_the_way(&self, waiter: Waiter, protocol: &dyn Protocol) -> Vec<(MapperId, Loses)> {
        self.losers(|mapper, mode| match mapper == waiter.mapper {
            true => Loses::Nothing,
            false => protocol.neighbour_takes((mapper, mode), (waiter.mapper, waiter.mode)),
        })
    }

    pub(super) fn map(&mut self, mapper: MapperId, mode: Mode) {
        if mapper == MapperId::DIRECT {
            return;
        }
        match self.mappers.iter_mut().find(|(m, _)| *m == mapper) {
            Some((_, held)) => *held = (*held).max(mode),
            None => self.mappers.push((mapper, mode)),
        }
        self.mappers.sort_unstable();
    }

    pub(super) fn unmap(&mut self, mapper: MapperId, left: Option<Mode>) {
        match left {
            None => self.mappers.retain(|(m, _)| *m != mapper),
            Some(left) => {
                for (m, held) in &mut self.mappers {
                    if *m == mapper {
                        *held = (*held).min(left);
                    }
                }
            }
        }
    }
}

impl Busy {
    /// Asks for the most that any waiter needs, once: a reader before a writer would cost two rounds. Old bytes are
    /// spared only if nobody needs them.
    fn ask(&self) -> Step {
        let mode = self.waiters.iter().map(|w| w.mode).max().unwrap_or(Mode::Read);
        Step::Ask { mode, fresh: mode == Mode::Write && self.waiters.iter().all(|w| w.fresh) }
    }
}
