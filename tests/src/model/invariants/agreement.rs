//! When nothing is under way, a page's home knows exactly who holds it, all nodes name the same home, and there is a frame
//! exactly where the page is held.

use scifs::coherence::{CopySet, Holders, PageId, PageState};

use super::Look;
use crate::model::violation::Violation;

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    for page in look.pages() {
        let held = holders(look, page);
        let mut homes =
            look.stations().filter_map(|(no, s)| Some((no, s.engine.homes().find(|h| h.page == page)?)));
        let disagree = |home: String| Violation::Disagreement { page, home, holders: format!("{held:?}") };
        let believed = homes.next();
        if homes.next().is_some() {
            return Err(disagree("at two nodes".into()));
        }
        match believed {
            Some((_, home)) if *home.holders == held => {}
            Some((_, home)) if *home.holders == Holders::Lost && held == Holders::Untouched => {}
            None if held == Holders::Untouched => {}
            other => return Err(disagree(format!("{other:?}"))),
        }
        for (_, station) in look.stations() {
            let state = station.engine.page(page).map_or(PageState::Invalid, |p| p.state);
            let home = station.engine.home(page);
            if state.has_frame() != station.has_frame(page) {
                return Err(disagree(format!("a frame that doesn't fit {state:?}")));
            }
            if home.is_some() && believed.is_some_and(|(no, _)| home != Some(no)) {
                return Err(disagree(format!("elsewhere, says a node: {home:?}")));
            }
        }
    }
    Ok(())
}

fn holders(look: &Look<'_>, page: PageId) -> Holders {
    let with = |wanted: PageState| -> CopySet {
        let all = look.stations();
        all.filter(|(_, s)| s.engine.page(page).is_some_and(|p| p.state == wanted))
            .map(|(no, _)| no)
            .collect()
    };
    let (shared, exclusive) = (with(PageState::Shared), with(PageState::Exclusive));
    match (exclusive.first(), shared.is_empty()) {
        (None, true) => Holders::Untouched,
        (Some(owner), true) if exclusive.len() == 1 => Holders::Exclusive(owner),
        (None, false) => Holders::Shared(shared),
        // Never what a home believes.
        _ => Holders::Shared(exclusive.iter().chain(shared.iter()).collect()),
    }
}
