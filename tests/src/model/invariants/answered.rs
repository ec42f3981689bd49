//! When nothing is under way, every request has been answered and no page is in motion.

use super::Look;
use crate::model::violation::Violation;

pub(super) fn check(look: &Look<'_>) -> Result<(), Violation> {
    for (_, station) in look.stations() {
        if let Some(op) = station.threads.iter().find_map(|t| t.doing) {
            return Err(Violation::Unanswered(op.parts().0));
        }
        let held = station.engine.pages().filter(|p| p.busy || p.state.asking()).map(|p| p.page);
        if let Some(page) = held.chain(station.engine.homes().filter(|h| h.busy).map(|h| h.page)).next() {
            return Err(Violation::Unanswered(page));
        }
    }
    Ok(())
}
