//! The list of effects of one input. Joins messages about neighbouring pages into runs as they are queued, so no other
//! part of the engine knows of runs: a request for sixteen pages is sixteen requests that happen to travel together.

use super::ids::MemberNo;
use super::input::Effect;
use super::limits::RUN_PAGES_MAX;
use super::message::{Body, Message};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Effects(Vec<Effect>);

/// How far back a run may be joined: an input makes a few effects for each page of a run.
const LOOK_BACK: usize = 4 * RUN_PAGES_MAX as usize;

impl Effects {
    pub fn as_slice(&self) -> &[Effect] {
        &self.0
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Queues a message, at the end of the last one to the same member if that fits.
    pub(super) fn send(&mut self, to: MemberNo, message: Message) {
        if !self.join(to, &message) {
            self.0.push(Effect::Send { to, message });
        }
    }

    /// Only the last message to a member can take more, since the order between two members is a promise. Joining makes
    /// the page's part leave earlier, so it must not pass an effect that changes the page's frame.
    fn join(&mut self, to: MemberNo, message: &Message) -> bool {
        for effect in self.0.iter_mut().rev().take(LOOK_BACK) {
            match effect {
                Effect::Fill { page } | Effect::Zero { page } if *page == message.page => return false,
                Effect::Send { to: earlier, message: run } if *earlier == to => return extend(run, message),
                _ => {}
            }
        }
        false
    }
}

fn extend(run: &mut Message, next: &Message) -> bool {
    let joins = run.run < RUN_PAGES_MAX
        && next.run == 1
        && run.epoch == next.epoch
        && run.page.ahead(u32::from(run.run)) == Some(next.page)
        && !matches!(next.body, Body::Report(_) | Body::Farewell(_))
        && run.body == next.body;
    run.run += u16::from(joins);
    joins
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::{Epoch, PageId, SegmentId};
    use super::*;

    fn message(index: u32, body: Body) -> Message {
        Message { epoch: Epoch(1), page: PageId { segment: SegmentId(1), index }, run: 1, body }
    }

    #[test]
    fn neighbouring_pages_to_one_member_travel_together() {
        let mut effects = Effects::default();
        for index in 0..u32::from(RUN_PAGES_MAX) + 1 {
            effects.send(MemberNo(1), message(index, Body::Ack));
            effects.send(MemberNo(2), message(index, Body::Done));
        }
        let runs: Vec<_> = effects
            .into_iter()
            .filter_map(|e| match e {
                Effect::Send { to, message } => Some((to.0, message.page.index, message.run)),
                _ => None,
            })
            .collect();
        let max = RUN_PAGES_MAX;
        assert_eq!(runs, [(1, 0, max), (2, 0, max), (1, max.into(), 1), (2, max.into(), 1)]);
    }

    #[test]
    fn a_run_never_overtakes_a_message_or_a_frame_being_filled() {
        let mut effects = Effects::default();
        effects.send(MemberNo(1), message(0, Body::Ack));
        effects.send(MemberNo(1), message(7, Body::Done));
        effects.send(MemberNo(1), message(1, Body::Ack));
        effects.send(MemberNo(2), message(0, Body::Ack));
        effects.push(Effect::Zero { page: message(1, Body::Ack).page });
        effects.send(MemberNo(2), message(1, Body::Ack));
        assert_eq!(effects.as_slice().len(), 6);
    }
}
