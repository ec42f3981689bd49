//! Every command ends: with an answer or with an error. Nobody waits for ever.

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug)]
pub(super) struct CommandsEnd;

impl Invariant for CommandsEnd {
    fn name(&self) -> &'static str {
        "commands_end"
    }

    fn look(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), String> {
        if !matches!(seen, Seen::End) {
            return Ok(());
        }
        // The calls of a run that crashed went with it.
        let live = |id| world.nodes.iter().any(|n| n.id == id && !n.crashed);
        match world.calls().iter().find(|c| c.ended.is_none() && live(c.node)) {
            Some(call) => Err(format!("command {} of {} never ended", call.command, call.node)),
            None => Ok(()),
        }
    }
}
