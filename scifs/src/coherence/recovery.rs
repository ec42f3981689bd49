//! After a death: a new epoch. Everybody drops what was under way, tells each home what it holds and each registrar which
//! extents it knows, and asks again for what it still wants. A home begins nothing until all members have reported; then
//! it rebuilds its directory from what survivors hold, not from what it remembers.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::{Constant, Engine, Turn, mutant};
use super::held::{Busy, Held};
use super::ids::{Epoch, ExtentId, MemberNo, PageId, SegmentId};
use super::input::{Effect, Member, View};
use super::limits::REPORT_ITEMS_MAX;
use super::message::{Body, ExtentReport, HeldAs, PageReport, Report};
use super::page_state::{PageEvent, PageState};
use super::placement::Registrars;
use super::protocol::Holders;
use super::registry::{Extent, Registration};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovery {
    /// The epoch in which the directory was last true.
    pub(super) base: Epoch,
    awaiting: BTreeSet<MemberNo>,
    pub(super) pages: BTreeMap<PageId, Vec<(MemberNo, HeldAs, u64)>>,
    /// Questions that wait for the registrar to know.
    pub(super) wheres: Vec<(MemberNo, ExtentId)>,
}

/// Reports are about many pages; the page in their head means nothing.
pub(super) const NO_PAGE: PageId = PageId { segment: SegmentId(0), index: 0 };

impl Engine {
    pub(super) fn change_view(&mut self, turn: &mut Turn, view: View) {
        let before = self.epoch();
        if view.epoch == before {
            // Somebody joined; it holds nothing, so nothing changes. But who was alone isn't any more.
            let was_alone = self.view.members.len() == 1;
            let members = std::mem::replace(&mut self.view, view.into());
            if was_alone {
                self.note_all(turn);
            }
            self.greet_newcomers(turn, &members);
            return;
        }
        if view.epoch.0 != before.0 + 1 {
            return turn.effects.push(Effect::Rejoin);
        }
        self.registrars = Constant::new(Registrars::new(&view));
        let members = std::mem::replace(&mut self.view, view.into());
        self.leave_anew();
        self.give_up_taken(&members);
        self.fence_pages(before);
        self.rehome(before);
        let base = self.recovery.take().map_or(before, |unfinished| unfinished.base);
        let awaiting = self.view.members.iter().map(|m| m.no).collect();
        let recovery = Recovery { base, awaiting, pages: BTreeMap::new(), wheres: Vec::new() };
        self.recovery = (!mutant!(self, ServeBeforeReports)).then(|| Box::new(recovery));
        self.report_all(turn);
        let wanted: Vec<_> =
            self.held.iter().filter(|(_, h)| h.busy.is_some()).map(|(page, _)| *page).collect();
        for page in wanted {
            if !mutant!(self, DontAskAgain) {
                self.advance(turn, page);
            }
        }
        for (from, message) in std::mem::take(&mut self.early) {
            self.receive(turn, from, message);
        }
    }

    /// Whether `member` has been the same member since `epoch`.
    pub(super) fn survives(&self, member: MemberNo, epoch: Epoch) -> bool {
        self.view.members.iter().any(|m| m.no == member && m.joined <= epoch)
    }

    fn fence_pages(&mut self, before: Epoch) {
        let forget_ceded = mutant!(self, ForgetCededAtFence);
        let mut held = std::mem::take(&mut self.held);
        for page in held.values_mut() {
            if let Ok(state) = page.state.on(PageEvent::Fence) {
                page.state = state;
            }
            if forget_ceded && page.state == PageState::Ceded {
                page.state = PageState::Invalid;
            }
            if let Some(busy) = &mut page.busy {
                let taker = busy.taker.filter(|t| self.survives(*t, before));
                let (waiters, leaving) =
                    (std::mem::take(&mut busy.waiters), std::mem::take(&mut busy.leaving));
                **busy = Busy { waiters, leaving, timer: busy.timer, taker, ..Busy::default() };
            }
            page.settle_down();
        }
        held.retain(|_, page| !page.is_forgettable());
        self.held = held;
        for entry in self.directory.values_mut() {
            if let Some(busy) = &mut entry.busy {
                busy.queue.clear();
            }
        }
    }

    /// The registrar takes over what a dead home leaves. Everybody comes to the same result for itself.
    fn rehome(&mut self, before: Epoch) {
        let untouched = mutant!(self, DeadHomeWasUntouched);
        for (extent, registration) in std::mem::take(&mut self.registered) {
            self.extents.entry(extent).or_default().home.get_or_insert(registration.home);
        }
        let mut extents = std::mem::take(&mut self.extents);
        extents.retain(|_, extent| extent.home.is_some());
        for (id, extent) in &mut extents {
            if extent.home.is_some_and(|home| !self.survives(home, before)) {
                let home = self.registrars.registrar(*id);
                // Who handed over everything takes nothing along: what was untouched still is.
                let lost = if extent.home == self.view.handed_over { extent.lost } else { !untouched };
                *extent = Extent { home: Some(home), lost, taken: home == self.me };
            }
        }
        self.extents = extents;
    }

    /// Who died before it could report may have held any page of what this node took over from who left.
    fn give_up_taken(&mut self, before: &View) {
        let orderly = self.view.handed_over;
        let died = |m: &Member| !self.survives(m.no, before.epoch) && Some(m.no) != orderly;
        if self.recovery.is_none() || !before.members.iter().any(died) || mutant!(self, TrustTheTaken) {
            return;
        }
        for (id, extent) in self.extents.iter_mut().filter(|(_, extent)| extent.taken) {
            extent.lost = true;
            // Requests that came meanwhile have made records.
            for (_, entry) in self.directory.range_mut(id.first()..=id.last()) {
                if entry.holders == Holders::Untouched {
                    entry.holders = Holders::Lost;
                }
            }
        }
    }

    /// Tells every member what it has to know from this one; those for whom there is nothing learn that.
    pub(super) fn report_all(&mut self, turn: &mut Turn) {
        let mut reports: BTreeMap<MemberNo, Report> =
            self.view.members.iter().map(|m| (m.no, Report::default())).collect();
        for (extent, known) in &self.extents {
            let Some(home) = known.home else { continue };
            let report = ExtentReport { extent: *extent, home, lost: known.lost };
            for to in BTreeSet::from([home, self.registrars.registrar(*extent)]) {
                reports.entry(to).or_default().extents.push(report);
            }
        }
        for (page, held) in &self.held {
            if let (Some(home), Some(held_as)) = (self.home_of(*page), self.held_as(held)) {
                let report = PageReport { page: *page, held: held_as, version: held.version };
                reports.entry(home).or_default().pages.push(report);
            }
        }
        for (to, report) in reports {
            self.send_report(turn, to, report);
        }
    }

    fn held_as(&self, held: &Held) -> Option<HeldAs> {
        match held.state {
            PageState::Shared if mutant!(self, HideShared) => None,
            PageState::Shared => Some(HeldAs::Shared),
            PageState::Exclusive => Some(HeldAs::Exclusive),
            PageState::Ceded => {
                let revive = mutant!(self, ReviveHistory);
                let taker_lives = revive || held.busy.as_deref().is_some_and(|b| b.taker.is_some());
                Some(HeldAs::Ceded { taker_lives })
            }
            _ => None,
        }
    }

    fn send_report(&self, turn: &mut Turn, to: MemberNo, report: Report) {
        let Report { mut extents, mut pages, .. } = report;
        loop {
            let rest_extents = extents.split_off(extents.len().min(REPORT_ITEMS_MAX));
            // Extents first: a home knows that it is one before it hears of the pages.
            let room = if rest_extents.is_empty() { REPORT_ITEMS_MAX - extents.len() } else { 0 };
            let rest_pages = pages.split_off(pages.len().min(room));
            let last = rest_extents.is_empty() && rest_pages.is_empty();
            self.send(turn, to, NO_PAGE, Body::Report(Report { extents, pages, last }));
            if last {
                return;
            }
            (extents, pages) = (rest_extents, rest_pages);
        }
    }

    pub(super) fn on_report(&mut self, turn: &mut Turn, from: MemberNo, report: Report) {
        let me = self.me;
        for ExtentReport { extent, home, lost } in report.extents {
            if self.registrars.registrar(extent) == me {
                self.registered.entry(extent).or_insert(Registration { home, unnoted: None });
            }
            if home == me {
                let known = self.extents.entry(extent).or_default();
                known.taken |= known.home != Some(me) && self.recovery.is_some();
                known.home = Some(me);
                known.lost |= lost;
            }
        }
        let Some(recovery) = &mut self.recovery else { return };
        for PageReport { page, held, version } in report.pages {
            recovery.pages.entry(page).or_default().push((from, held, version));
        }
        if report.last {
            recovery.awaiting.remove(&from);
            if recovery.awaiting.is_empty() {
                self.finish_recovery(turn);
            }
        }
    }
}
