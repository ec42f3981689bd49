//! A page is lost only if a node that died held it or took part in moving it.

use scifs::coherence::Holders;

use crate::model::violation::Violation;
use crate::model::world::World;

pub(super) fn check(world: &World) -> Result<(), Violation> {
    for (_, station) in world.stations().filter(|(_, s)| !s.engine.recovering()) {
        for home in station.engine.homes().filter(|h| *h.holders == Holders::Lost) {
            if world.crashed() == 0 || world.safe().contains(&home.page) {
                return Err(Violation::LostWithoutNeed(home.page));
            }
        }
    }
    Ok(())
}
