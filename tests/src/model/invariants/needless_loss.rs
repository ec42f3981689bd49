//! A page is lost only if a node that died held it or took part in moving it.

use scifs::coherence::Holders;

use super::Look;
use crate::model::violation::Violation;

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    for (_, station) in look.stations().filter(|(_, s)| !s.engine.recovering()) {
        for home in station.engine.homes().filter(|h| *h.holders == Holders::Lost) {
            if !look.disturbed || look.safe.contains(&home.page) {
                return Err(Violation::LostWithoutNeed(home.page));
            }
        }
    }
    Ok(())
}
