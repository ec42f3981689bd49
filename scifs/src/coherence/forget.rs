//! Segments that are gone: their file was deleted or cut off. Nobody will ask for them again, so what is known of them goes at
//! once and without a message: every member forgets for itself when it learns of it.
//!
//! Members learn of it at different times. Until the last one has, messages about a forgotten segment may come; the driver knows
//! which segments are gone and drops them. Nothing waits for an answer that is dropped so: who forgot waits for nothing,
//! and who has not forgotten yet will. Segments share no state, so no other one notices.

use std::ops::RangeInclusive;

use super::engine::Engine;
use super::ids::{ExtentId, PageId, SegmentId, Token};

impl Engine {
    /// Drops everything about these segments, and gives the requests that will not be answered now.
    pub fn forget(&mut self, segments: RangeInclusive<SegmentId>) -> Vec<(PageId, Token)> {
        let (first, last) = (*segments.start(), *segments.end());
        let page = |segment, index| PageId { segment, index };
        let pages = page(first, 0)..=page(last, u32::MAX);
        let extents = ExtentId { segment: first, index: 0 }..=ExtentId { segment: last, index: u32::MAX };
        let mut unanswered = Vec::new();
        for (page, held) in self.held.extract_if(pages.clone(), |_, _| true) {
            let waiters = held.busy.into_iter().flat_map(|busy| busy.waiters);
            unanswered.extend(waiters.filter_map(|waiter| Some((page, waiter.token?))));
        }
        self.directory.extract_if(pages.clone(), |_, _| true).for_each(drop);
        self.extents.extract_if(extents.clone(), |_, _| true).for_each(drop);
        self.registered.extract_if(extents.clone(), |_, _| true).for_each(drop);
        if let Some(recovery) = &mut self.recovery {
            recovery.pages.extract_if(pages, |_, _| true).for_each(drop);
            recovery.wheres.retain(|(_, extent)| !extents.contains(extent));
        }
        unanswered
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use scios::Nanos;

    use super::super::{
        Config, Effect, Epoch, Fault, FirstTouch, Input, MapperId, Member, MemberNo, Mode, Strict, View,
    };
    use super::*;

    fn engine(members: &[u32]) -> Engine {
        let config = Config {
            hold_min: Duration::ZERO,
            placement: Arc::new(FirstTouch),
            protocol: Arc::new(Strict),
            #[cfg(feature = "mutations")]
            mutation: None,
        };
        let member = |no: &u32| Member { no: MemberNo(*no), joined: Epoch(0) };
        let view = View { epoch: Epoch(1), members: members.iter().map(member).collect(), handed_over: None };
        Engine::new(MemberNo(0), Arc::new(config), view).0
    }

    fn fault(segment: u64, token: u64) -> Input {
        let page = PageId { segment: SegmentId(segment), index: 7 };
        let token = Token(token);
        Input::Fault(Fault { page, mapper: MapperId::FILE, mode: Mode::Write, fresh: false, run: 1, token })
    }

    #[test]
    fn what_is_known_of_a_forgotten_segment_is_gone_and_the_neighbours_stay() {
        let mut engine = engine(&[0]);
        for segment in 1..=4 {
            engine.handle(Nanos(1), fault(segment, segment));
        }
        assert_eq!(engine.pages().count(), 4);
        assert!(engine.forget(SegmentId(2)..=SegmentId(3)).is_empty());
        let left: Vec<_> = engine.pages().map(|page| page.page.segment.0).collect();
        assert_eq!(left, [1, 4]);
        assert_eq!(engine.homes().count(), 2);
        assert_eq!((engine.extents.len(), engine.registered.len()), (2, 2));
    }

    #[test]
    fn requests_that_waited_for_a_forgotten_page_are_given_back() {
        let mut engine = engine(&[0, 1]);
        let segment = (1..).find(|s| {
            let sent = engine.handle(Nanos(1), fault(*s, *s));
            matches!(sent.as_slice(), [Effect::Send { to: MemberNo(1), .. }])
        });
        let segment = SegmentId(segment.unwrap());
        let page = PageId { segment, index: 7 };
        assert_eq!(engine.forget(segment..=segment), [(page, Token(segment.0))]);
        assert!(engine.page(page).is_none() && engine.home(page).is_none());
    }

    #[test]
    fn a_forgotten_segment_can_be_touched_as_if_it_were_new() {
        let mut engine = engine(&[0]);
        engine.handle(Nanos(1), fault(1, 1));
        engine.forget(SegmentId(0)..=SegmentId(u64::MAX));
        let effects = engine.handle(Nanos(2), fault(1, 2));
        let zeroed = |e: &Effect| matches!(e, Effect::Zero { .. });
        assert!(effects.as_slice().iter().any(zeroed), "{effects:?}");
    }
}
