//! What can be seen of an engine from outside: for `scifs stat`, and for the checks of the simulator and the model checker.

use super::engine::Engine;
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
        self.held.iter().map(|(page, held)| PageView {
            page: *page,
            state: held.state,
            version: held.version,
            mappers: &held.mappers,
            busy: held.busy.is_some(),
        })
    }

    pub fn page(&self, page: PageId) -> Option<PageView<'_>> {
        self.held.get(&page).map(|held| PageView {
            page,
            state: held.state,
            version: held.version,
            mappers: &held.mappers,
            busy: held.busy.is_some(),
        })
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

    /// Where this node believes the page's home to be, if it ever had to do with it.
    pub fn home(&self, page: PageId) -> Option<MemberNo> {
        self.home_of(page)
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
