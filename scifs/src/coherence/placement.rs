//! Where homes are. Each extent has a *registrar*, which everybody computes from the members of the epoch, and a *home*,
//! which the registrar assigns when the extent is first touched, by a policy. So looking for a home is one array access
//! and, once an extent and node, one question; nothing is broadcast and nothing grows with the number of members.

use std::fmt;

use super::ids::{ExtentId, MemberNo};
use super::input::View;
use super::limits::SLOTS;

/// Decides who becomes the home of an extent that is touched for the first time.
pub trait Placement: fmt::Debug + Send + Sync {
    fn home(&self, extent: ExtentId, toucher: MemberNo, registrar: MemberNo) -> MemberNo;
}

/// Who touches an extent first is its home: private data cost no messages.
#[derive(Clone, Copy, Debug)]
pub struct FirstTouch;

/// Homes are spread evenly over the members, whoever touches: for data that one node fills and all use.
#[derive(Clone, Copy, Debug)]
pub struct Spread;

impl Placement for FirstTouch {
    fn home(&self, _: ExtentId, toucher: MemberNo, _: MemberNo) -> MemberNo {
        toucher
    }
}

impl Placement for Spread {
    fn home(&self, _: ExtentId, _: MemberNo, registrar: MemberNo) -> MemberNo {
        registrar
    }
}

/// Registrar and deputy for each slot of the hash space, by rendezvous hashing: when a registrar leaves, its deputy is
/// the new registrar.
#[derive(Clone, Debug)]
pub(super) struct Slots(Vec<(MemberNo, Option<MemberNo>)>);

impl Slots {
    /// Counts only members that joined before this epoch: those all nodes of the epoch agree on.
    pub(super) fn new(view: &View) -> Self {
        let settled: Vec<_> = view.members.iter().filter(|m| m.joined < view.epoch).map(|m| m.no).collect();
        Self((0..SLOTS as u64).map(|slot| Self::choose(slot, &settled)).collect())
    }

    fn choose(slot: u64, members: &[MemberNo]) -> (MemberNo, Option<MemberNo>) {
        let mut best: [Option<(u64, MemberNo)>; 2] = [None, None];
        for member in members {
            let key = slot.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(member.0).wrapping_add(1) << 40;
            let weight =
                Some(((key ^ key >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31), *member));
            if weight > best[0] {
                best = [weight, best[0]];
            } else if weight > best[1] {
                best[1] = weight;
            }
        }
        (best[0].map_or(MemberNo(0), |b| b.1), best[1].map(|b| b.1))
    }

    pub(super) fn registrar(&self, extent: ExtentId) -> MemberNo {
        self.slot(extent).0
    }

    pub(super) fn deputy(&self, extent: ExtentId) -> Option<MemberNo> {
        self.slot(extent).1
    }

    fn slot(&self, extent: ExtentId) -> (MemberNo, Option<MemberNo>) {
        let slot = extent.hash() as usize % SLOTS;
        self.0.get(slot).copied().unwrap_or((MemberNo(0), None))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::{Epoch, SegmentId};
    use super::super::input::Member;
    use super::*;

    fn view(epoch: u64, members: &[u16]) -> View {
        let member = |no: &u16| Member { no: MemberNo(*no), joined: Epoch(0) };
        View { epoch: Epoch(epoch), members: members.iter().map(member).collect() }
    }

    #[test]
    fn a_registrars_deputy_follows_it_and_nobody_else_moves() {
        let before = Slots::new(&view(1, &[0, 1, 2, 3]));
        let after = Slots::new(&view(2, &[0, 1, 3]));
        for (old, new) in before.0.iter().zip(&after.0) {
            let expected = if old.0 == MemberNo(2) { old.1 } else { Some(old.0) };
            assert_eq!(Some(new.0), expected);
            assert_ne!(Some(new.0), new.1);
        }
    }

    #[test]
    fn extents_are_spread_evenly() {
        let slots = Slots::new(&view(1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let mut counts = [0; 10];
        for index in 0..100_000 {
            let extent = ExtentId { segment: SegmentId(5), index };
            counts[usize::from(slots.registrar(extent).0)] += 1;
        }
        assert!(counts.iter().all(|n| (8_500..11_500).contains(n)), "{counts:?}");
    }

    #[test]
    fn newcomers_count_from_the_next_epoch_on() {
        let mut with = view(1, &[0, 1]);
        with.members.push(Member { no: MemberNo(2), joined: Epoch(1) });
        assert_eq!(Slots::new(&with).0, Slots::new(&view(1, &[0, 1])).0);
    }
}
