//! Finding an extent's home: asked for once by each node that touches the extent, answered by its registrar.
//!
//! That an extent is in use is known to two members before the first page of it is granted: its home and its registrar or,
//! where they are the same, the registrar's deputy. So after any one death it is still known that its pages may be lost, and
//! they never read as if they had never been written.

use super::engine::{Engine, Turn, mutant};
use super::ids::{ExtentId, MemberNo, PageId};
use super::input::Violation;
use super::message::Body;

/// An extent as somebody knows it who has to do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Extent {
    /// `None` while the registrar is being asked.
    pub(super) home: Option<MemberNo>,
    /// A home of it died: what nobody holds is lost.
    pub(super) lost: bool,
    /// This node is its home since a change of epoch whose reports aren't complete yet.
    pub(super) taken: bool,
}

/// An extent as its registrar knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Registration {
    pub(super) home: MemberNo,
    /// Who gets the answer once the deputy has noted the extent; `None` when it has.
    pub(super) unnoted: Option<Vec<MemberNo>>,
}

impl Engine {
    pub(super) fn home_of(&self, page: PageId) -> Option<MemberNo> {
        self.extents.get(&page.extent()).and_then(|e| e.home)
    }

    /// Whether this node is the extent's home. Who asks knows it from the registrar, maybe before the home does.
    pub(super) fn is_home(&mut self, extent: ExtentId) -> bool {
        *self.extents.entry(extent).or_default().home.get_or_insert(self.me) == self.me
    }

    pub(super) fn look_for_home(&mut self, turn: &mut Turn, extent: ExtentId) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.extents.entry(extent) {
            entry.insert(Extent::default());
            self.send(turn, self.registrars.registrar(extent), extent.first(), Body::Where);
        }
    }

    pub(super) fn on_where(&mut self, turn: &mut Turn, from: MemberNo, extent: ExtentId) {
        if self.registrars.registrar(extent) != self.me {
            return turn.distrust(from, extent.first(), Violation::NotHome);
        }
        if let Some(recovery) = &mut self.recovery {
            return recovery.wheres.push((from, extent));
        }
        if !self.registered.contains_key(&extent) {
            self.register(turn, from, extent);
        }
        match self.registered.get_mut(&extent) {
            Some(Registration { unnoted: Some(waiting), .. }) => waiting.push(from),
            Some(Registration { home, unnoted: None }) => {
                let home = *home;
                self.send(turn, from, extent.first(), Body::Here { home });
                if mutant!(self, ForgetRegistration) {
                    self.registered.remove(&extent);
                }
            }
            None => {}
        }
    }

    fn register(&mut self, turn: &mut Turn, toucher: MemberNo, extent: ExtentId) {
        let chosen = self.config.placement.home(extent, toucher, self.me);
        let home = if self.view.members.iter().any(|m| m.no == chosen) { chosen } else { self.me };
        self.registered.insert(extent, Registration { home, unnoted: None });
        self.note(turn, extent);
    }

    /// Tells the deputy of an extent that would otherwise be known to this node alone.
    pub(super) fn note(&mut self, turn: &mut Turn, extent: ExtentId) {
        let me = self.me;
        // Whoever knows will report it, so any member will do where no other one counts for placement yet.
        let newcomer = || self.view.members.iter().map(|m| m.no).find(|no| *no != me);
        let Some(deputy) = self.registrars.deputy(extent).or_else(newcomer) else { return };
        if let Some(registration) = self.registered.get_mut(&extent)
            && registration.home == me
        {
            registration.unnoted.get_or_insert_default();
            self.send(turn, deputy, extent.first(), Body::Note { home: me });
        }
    }

    /// Tells a deputy of everything that this node alone knows to be in use.
    pub(super) fn note_all(&mut self, turn: &mut Turn) {
        let mine = self.registered.iter().filter(|(_, r)| r.home == self.me).map(|(extent, _)| *extent);
        for extent in mine.collect::<Vec<_>>() {
            self.note(turn, extent);
        }
    }

    pub(super) fn on_note(&mut self, turn: &mut Turn, from: MemberNo, extent: ExtentId, home: MemberNo) {
        self.on_here(turn, from, extent, home);
        self.send(turn, from, extent.first(), Body::Noted);
    }

    pub(super) fn on_noted(&mut self, turn: &mut Turn, from: MemberNo, extent: ExtentId) {
        let Some(registration) = self.registered.get_mut(&extent) else {
            return turn.distrust(from, extent.first(), Violation::Unasked);
        };
        let home = registration.home;
        for asker in registration.unnoted.take().unwrap_or_default() {
            self.send(turn, asker, extent.first(), Body::Here { home });
        }
    }

    pub(super) fn on_here(&mut self, turn: &mut Turn, from: MemberNo, extent: ExtentId, home: MemberNo) {
        if *self.extents.entry(extent).or_default().home.get_or_insert(home) != home {
            return turn.distrust(from, extent.first(), Violation::NotHome);
        }
        let wanted: Vec<_> = self.held.range(extent.first()..=extent.last()).map(|(page, _)| *page).collect();
        for page in wanted {
            self.advance(turn, page);
        }
    }
}
