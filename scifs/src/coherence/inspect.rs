//! What can be seen of an engine from outside: for `scifs stat`, and for the checks of the simulator and the model checker.

use std::ops::RangeInclusive;

use super::engine::Engine;
use super::held::{Held, Waiter};
use super::ids::{MapperId, MemberNo, Mode, PageId};
use super::page_state::PageState;
use super::protocol::Holders;

/// A page as this node holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageView<'a> {
    pub page: PageId,
    pub state: PageState,
    pub version: u64,
    pub mappers: &'a [(MapperId, Mode)],
    /// Requests, orders or answers of surfaces are outstanding.
    pub busy: bool,
}

/// A page whose home this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeView<'a> {
    pub page: PageId,
    pub holders: &'a Holders,
    pub version: u64,
    pub busy: bool,
}

impl Engine {
    pub fn me(&self) -> MemberNo {
        self.me
    }

    /// The pages that this node holds or wants, in order.
    pub fn pages(&self) -> impl Iterator<Item = PageView<'_>> {
        self.held.iter().map(|(page, held)| view(*page, held))
    }

    pub fn page(&self, page: PageId) -> Option<PageView<'_>> {
        self.held.get(&page).map(|held| view(page, held))
    }

    /// As `pages`, those in a range.
    pub fn pages_in(&self, range: RangeInclusive<PageId>) -> impl Iterator<Item = PageView<'_>> {
        self.held.range(range).map(|(page, held)| view(*page, held))
    }

    /// Whether a `Fault` for this access would be answered at once and, for `MapperId::DIRECT`, would change nothing: so the
    /// access may go on without it.
    pub fn is_open(&self, page: PageId, mapper: MapperId, mode: Mode) -> bool {
        let waiter = Waiter { mapper, mode, fresh: false, token: None };
        self.held.get(&page).is_some_and(|held| held.is_open_to(waiter, &*self.config.protocol))
    }

    /// The touched pages whose home this node is, in order.
    pub fn homes(&self) -> impl Iterator<Item = HomeView<'_>> {
        self.directory.iter().map(|(page, entry)| HomeView {
            page: *page,
            holders: &entry.holders,
            version: entry.version,
            busy: entry.busy.is_some(),
        })
    }

    /// As `homes`, those in a range.
    pub fn homes_in(&self, range: RangeInclusive<PageId>) -> impl Iterator<Item = HomeView<'_>> {
        self.directory.range(range).map(|(page, entry)| HomeView {
            page: *page,
            holders: &entry.holders,
            version: entry.version,
            busy: entry.busy.is_some(),
        })
    }

    /// Where this node believes the page's home to be, if it ever had to do with it.
    pub fn home(&self, page: PageId) -> Option<MemberNo> {
        self.home_of(page)
    }

    /// Whether this node, as the page's home, can do without the copy that it has: others have the page, or it reads as zeros.
    pub fn is_surplus_at_home(&self, page: PageId) -> bool {
        self.directory.get(&page).is_some_and(|entry| entry.is_surplus(self.me, self.me))
    }

    /// Whether reports of other members are still missing after a change of epoch.
    pub fn recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether one more death would find everything known to a second member that has to be.
    pub fn settled(&self) -> bool {
        !self.recovering() && self.registered.values().all(|r| r.unnoted.is_none())
    }
}

fn view(page: PageId, held: &Held) -> PageView<'_> {
    PageView {
        page,
        state: held.state,
        version: held.version,
        mappers: &held.mappers,
        busy: held.busy.is_some(),
    }
}
