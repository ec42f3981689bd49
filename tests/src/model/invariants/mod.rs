//! What holds in every state of every cluster, one invariant a file.

mod agreement;
mod answered;
mod needless_loss;
mod single_writer;

use super::violation::Violation;
use super::world::World;

pub fn check(world: &World) -> Result<(), Violation> {
    single_writer::check(world)?;
    if world.is_quiet() {
        answered::check(world)?;
        agreement::check(world)?;
    }
    needless_loss::check(world)
}
