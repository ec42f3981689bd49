//! An orderly departure: this member hands over what it holds, so that nothing goes with it.
//!
//! 1. [`Input::Leave`]: what others want to give up isn't taken back any more. The driver asks nothing of the engine from now on, and
//!    gets rid of every page that [`Engine::to_hand_over`] names: by `Evict` to the page's home, by `Offer` to whoever has room.
//!    An offer is taken by an ordinary request, so afterwards the page has another holder like after any read.
//! 2. [`Input::Close`]: as a home, it begins nothing any more. When everything under way is done, each member is told so, and which
//!    extents it has to know of. Its answer says that all that was granted to it before has arrived.
//! 3. [`Engine::has_handed_over`]: nothing changes here until the epoch does, and every page that this node has or is home of is with
//!    somebody else. That is what the membership is told. It holds for this epoch only: a new one begins with step 1.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::directory::{Entry, Request};
use super::engine::{Engine, Turn, mutant};
use super::held::{Held, Waiter};
use super::ids::{Epoch, ExtentId, MapperId, MemberNo, Mode, PageId};
use super::input::{View, Violation};
use super::limits::REPORT_ITEMS_MAX;
use super::message::{Body, ExtentReport, Report};
use super::page_state::PageState;
use super::placement::Registrars;
use super::protocol::Holders;
use super::recovery::NO_PAGE;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leaving {
    HandingOver,
    /// It begins nothing any more, and waits for what it began.
    Closing,
    /// All is done; these members have not answered yet.
    Closed {
        awaiting: BTreeSet<MemberNo>,
    },
}

/// What stands between a page and a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stays {
    /// Nobody else has it, and its home is here: offer it to somebody.
    OnlyHere,
    /// Its home is elsewhere: evict it, or if its home has no room offer it to somebody else first.
    Away,
    /// Something is under way, which ends by itself.
    Busy,
}

impl Engine {
    /// Begins to leave. There is no way back.
    pub(super) fn begin_leaving(&mut self) {
        self.leaving.get_or_insert(Leaving::HandingOver);
    }

    /// Whether this home begins something new with a page.
    pub(super) fn begins(&self) -> bool {
        let closed = matches!(self.leaving, Some(Leaving::Closing | Leaving::Closed { .. }));
        self.recovery.is_none() && (!closed || mutant!(self, BeginAfterClosing))
    }

    pub(super) fn close(&mut self, turn: &mut Turn) {
        if self.recovery.is_some() {
            return;
        }
        if self.leaving == Some(Leaving::HandingOver) {
            self.leaving = Some(Leaving::Closing);
        }
        if self.leaving != Some(Leaving::Closing) || !self.is_at_rest() {
            return;
        }
        self.leaving = Some(Leaving::Closed { awaiting: BTreeSet::new() });
        let others = self.view.members.iter().map(|m| m.no).filter(|no| *no != self.me);
        self.bid_farewell(turn, others.collect());
    }

    /// Newcomers may have been given something before this node heard of them.
    pub(super) fn greet_newcomers(&mut self, turn: &mut Turn, before: &View) {
        if matches!(self.leaving, Some(Leaving::Closed { .. })) {
            let new = self.view.members.iter().filter(|m| !before.members.contains(m));
            self.bid_farewell(turn, new.map(|m| m.no).collect());
        }
    }

    fn bid_farewell(&mut self, turn: &mut Turn, to: BTreeSet<MemberNo>) {
        self.tell_farewell(turn, &to);
        if let Some(Leaving::Closed { awaiting }) = &mut self.leaving {
            awaiting.extend(to);
        }
    }

    /// A change of epoch makes void what was promised.
    pub(super) fn leave_anew(&mut self) {
        if self.leaving.is_some() {
            self.leaving = Some(Leaving::HandingOver);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.directory.values().all(|entry| entry.transfer().is_none())
            && self
                .held
                .iter()
                .all(|(page, held)| self.home_of(*page) == Some(self.me) && held.state != PageState::Ceded)
    }

    /// The extents of this home go to those who will be their registrars, if nobody joins or dies meanwhile. They know then
    /// of each that it is in use, and that pages of it are lost.
    fn tell_farewell(&self, turn: &mut Turn, members: &BTreeSet<MemberNo>) {
        let mut after = View { epoch: Epoch(self.epoch().0 + 1), ..(*self.view).clone() };
        after.members.retain(|m| m.no != self.me);
        let heirs = Registrars::new(&after);
        for to in members.iter().copied() {
            let mine = self
                .extents
                .iter()
                .filter(|(_, known)| known.home == Some(self.me))
                .filter(|(id, _)| heirs.registrar(**id) == to || heirs.deputy(**id) == Some(to));
            let mut extents: Vec<_> = mine
                .map(|(id, known)| ExtentReport {
                    extent: *id,
                    home: self.me,
                    lost: known.lost || self.has_lost(*id),
                })
                .collect();
            loop {
                let rest = extents.split_off(extents.len().min(REPORT_ITEMS_MAX));
                let last = rest.is_empty();
                self.send(turn, to, NO_PAGE, Body::Farewell(Report { extents, pages: Vec::new(), last }));
                if last {
                    break;
                }
                extents = rest;
            }
        }
    }

    fn has_lost(&self, extent: ExtentId) -> bool {
        !mutant!(self, HideLostWhenLeaving)
            && self.directory.range(extent.first()..=extent.last()).any(|(_, e)| e.holders == Holders::Lost)
    }

    pub(super) fn on_farewell(&mut self, turn: &mut Turn, from: MemberNo, report: Report) {
        for ExtentReport { extent, home, lost } in report.extents {
            let known = self.extents.entry(extent).or_default();
            if home != from || *known.home.get_or_insert(home) != home {
                return turn.distrust(from, extent.first(), Violation::NotHome);
            }
            known.lost |= lost;
        }
        if report.last {
            self.send(turn, from, NO_PAGE, Body::Heard);
        }
    }

    pub(super) fn on_heard(&mut self, turn: &mut Turn, from: MemberNo) {
        let awaited = match &mut self.leaving {
            Some(Leaving::Closed { awaiting }) => awaiting.remove(&from),
            _ => false,
        };
        if !awaited {
            turn.distrust(from, NO_PAGE, Violation::Unasked);
        }
    }

    /// A member that leaves would like this node to have a copy.
    pub(super) fn on_take(&mut self, turn: &mut Turn, page: PageId) {
        if self.leaving.is_none() {
            let (mapper, mode) = (MapperId::DIRECT, Mode::Read);
            self.want(turn, page, Waiter { mapper, mode, fresh: false, token: None });
        }
    }

    /// The pages after `after` that this node can't leave with, in order.
    pub fn to_hand_over(&self, after: Option<PageId>) -> impl Iterator<Item = (PageId, Stays)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let held = self.held.range((from, Bound::Unbounded));
        held.filter_map(|(page, held)| Some((*page, self.stays_as(*page, held)?)))
    }

    /// Whether this node can't leave with a page, and why.
    pub fn stays(&self, page: PageId) -> Option<Stays> {
        self.stays_as(page, self.held.get(&page)?)
    }

    fn stays_as(&self, page: PageId, held: &Held) -> Option<Stays> {
        if self.home_of(page) != Some(self.me) {
            let busy = held.busy.is_some() || !held.mappers.is_empty() || held.state == PageState::Ceded;
            return Some(if busy { Stays::Busy } else { Stays::Away });
        }
        let entry = self.directory.get(&page)?;
        match entry.transfer() {
            _ if self.recovery.is_some() => Some(Stays::Busy),
            Some(_) => Some(Stays::Busy),
            None => (!self.is_with_others(entry)).then_some(Stays::OnlyHere),
        }
    }

    /// Whether a page that has its home here has another holder, or none at all. Only members count that will be asked whether it has
    /// arrived.
    fn is_with_others(&self, entry: &Entry) -> bool {
        let is_other = |no: MemberNo| no != self.me && self.view.members.iter().any(|m| m.no == no);
        match &entry.holders {
            _ if mutant!(self, LeaveWithTheLast) => true,
            Holders::Untouched | Holders::Lost => true,
            Holders::Exclusive(owner) => is_other(*owner),
            Holders::Shared(set) => set.iter().any(is_other),
        }
    }

    /// Whether this node may leave in this epoch without anything being lost. True until the epoch changes.
    pub fn has_handed_over(&self) -> bool {
        let heard = match &self.leaving {
            Some(Leaving::Closed { awaiting }) => awaiting.is_empty() || mutant!(self, DontWaitToBeHeard),
            _ => false,
        };
        heard && self.is_at_rest() && self.directory.values().all(|entry| self.is_with_others(entry))
    }

    /// Whether a home that leaves ignores such a request.
    pub(super) fn declines(&self, request: Request) -> bool {
        self.leaving.is_some() && matches!(request, Request::Put(_))
    }
}
