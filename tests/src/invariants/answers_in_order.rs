//! The replicated machine looks like one machine: a command that was called after another had been answered takes
//! effect after it, whoever called.

use super::{Invariant, Seen};
use crate::cluster::World;

#[derive(Debug)]
pub(super) struct AnswersInOrder;

impl Invariant for AnswersInOrder {
    fn name(&self) -> &'static str {
        "answers_in_order"
    }

    fn look(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), String> {
        if !matches!(seen, Seen::End) {
            return Ok(());
        }
        let calls = world.calls();
        let answered = calls.iter().filter_map(|c| {
            let (ended, place) =
                c.ended.as_ref().and_then(|(at, answer)| Some((*at, *answer.as_ref().ok()?)))?;
            Some((c.called, ended, place, c.command))
        });
        let answered: Vec<_> = answered.collect();
        for (_, ended, place, command) in &answered {
            for (called, _, later_place, later) in &answered {
                if ended < called && later_place <= place {
                    return Err(format!(
                        "command {later} was called after {command} was answered, and took place {later_place} \
                         before its {place}"
                    ));
                }
            }
        }
        Ok(())
    }
}
