//! What holds in every state of every cluster, one invariant a file.

mod agreement;
mod answered;
mod needless_loss;
mod single_writer;

use std::collections::BTreeSet;

use scifs::coherence::{MapperId, MemberNo, Mode, PageId};

use super::station::Station;
use super::violation::Violation;

/// A cluster at one moment.
#[derive(Debug)]
pub struct Look<'a> {
    /// Those that live.
    pub stations: Vec<(MemberNo, &'a Station)>,
    /// Nothing will happen unless somebody wants something.
    pub quiet: bool,
    /// Somebody died or a connection broke.
    pub disturbed: bool,
    /// Pages that can't be lost, since only survivors had copies and nothing was under way.
    pub safe: &'a BTreeSet<PageId>,
}

pub fn check(look: &Look<'_>) -> Result<(), Violation> {
    single_writer::check(look)?;
    if look.quiet {
        answered::check(look)?;
        agreement::check(look)?;
    }
    needless_loss::check(look)
}

impl<'a> Look<'a> {
    fn stations(&self) -> impl Iterator<Item = (MemberNo, &'a Station)> {
        self.stations.iter().copied()
    }

    fn pages(&self) -> BTreeSet<PageId> {
        let held = self.stations().flat_map(|(_, s)| s.engine.pages().map(|p| p.page));
        held.chain(self.stations().flat_map(|(_, s)| s.engine.homes().map(|h| h.page))).collect()
    }

    /// Who can load (`Read`) or store (`Write`) right now.
    fn maps(&self, page: PageId) -> impl Iterator<Item = (MemberNo, MapperId, Mode)> {
        self.stations().flat_map(move |(no, s)| {
            s.maps
                .iter()
                .filter(move |((p, _), _)| *p == page)
                .map(move |((_, mapper), mode)| (no, *mapper, *mode))
        })
    }
}
