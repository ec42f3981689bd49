//! A page that somebody may write is mapped by nobody else: not on other nodes, and on the same node not by a mapper with
//! bytes of its own.

use scifs::coherence::{MemberNo, Mode};

use super::Look;
use crate::model::violation::Violation;

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    for (no, station) in look.stations() {
        for ((page, mapper), _) in station.maps.iter().filter(|(_, mode)| **mode == Mode::Write) {
            let clash = |other: MemberNo, with: scifs::coherence::MapperId| {
                other != no || with != *mapper && (with.copies() || mapper.copies())
            };
            if let Some((other, ..)) = look.maps(*page).find(|(other, with, _)| clash(*other, *with)) {
                return Err(Violation::TwoMasters { page: *page, other });
            }
        }
    }
    Ok(())
}
