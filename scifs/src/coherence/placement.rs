//! Where homes are. Each extent has a *registrar*, which everybody computes from the members of the epoch, and a *home*,
//! which the registrar assigns when the extent is first touched, by a policy. So looking for a home costs,
//! once an extent and node, one question; nothing is broadcast and nothing grows with the number of members.

use std::fmt;

use super::ids::{ExtentId, MemberNo};
use super::input::View;

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

/// Registrar and deputy of each extent: a function of its hash and of the members that all nodes of the epoch agree on,
/// those that joined before it. No table: a jump hash takes a logarithmic number of steps.
#[derive(Clone, Debug)]
pub(crate) struct Registrars(Vec<MemberNo>);

impl Registrars {
    pub(crate) fn new(view: &View) -> Self {
        Self(view.members.iter().filter(|m| m.joined < view.epoch).map(|m| m.no).collect())
    }

    pub(super) fn registrar(&self, extent: ExtentId) -> MemberNo {
        self.of_hash(extent.hash())
    }

    /// The registrar of whatever has this hash.
    pub(crate) fn of_hash(&self, hash: u64) -> MemberNo {
        self.0.get(jump(hash, self.0.len())).copied().unwrap_or(MemberNo(0))
    }

    /// Somebody else than the registrar; nobody if there is nobody else.
    pub(super) fn deputy(&self, extent: ExtentId) -> Option<MemberNo> {
        let others = self.0.len().checked_sub(1).filter(|others| *others > 0)?;
        let registrar = jump(extent.hash(), self.0.len());
        let deputy = jump(extent.hash().rotate_left(32), others);
        self.0.get(if deputy < registrar { deputy } else { deputy + 1 }).copied()
    }
}

/// Lamping and Veach's jump consistent hash: a bucket below `buckets` for each key, all of them equally often.
fn jump(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0u64, 0u64);
    while next < buckets as u64 {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) << 31) / ((key >> 33) + 1);
    }
    bucket as usize
}

#[cfg(test)]
mod tests {
    use super::super::ids::{Epoch, SegmentId};
    use super::super::input::Member;
    use super::*;

    fn view(epoch: u64, members: &[u32]) -> View {
        let member = |no: &u32| Member { no: MemberNo(*no), joined: Epoch(0) };
        View { epoch: Epoch(epoch), members: members.iter().map(member).collect(), handed_over: None }
    }

    fn extents() -> impl Iterator<Item = ExtentId> {
        (0..100_000).map(|index| ExtentId { segment: SegmentId(5), index })
    }

    #[test]
    fn extents_are_spread_evenly() {
        let registrars = Registrars::new(&view(1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let (mut counts, mut deputies) = ([0; 10], [0; 10]);
        for extent in extents() {
            counts[registrars.registrar(extent).0 as usize] += 1;
            deputies[registrars.deputy(extent).map_or(0, |d| d.0) as usize] += 1;
        }
        assert!(
            counts.iter().chain(&deputies).all(|n| (9_000..11_000).contains(n)),
            "{counts:?} {deputies:?}"
        );
    }

    #[test]
    fn a_deputy_is_somebody_else() {
        for members in [&[3, 7][..], &[1, 2, 9], &[0, 1, 2, 3, 4]] {
            let registrars = Registrars::new(&view(1, members));
            assert!(extents().all(|e| registrars.deputy(e).is_some_and(|d| d != registrars.registrar(e))));
        }
        let alone = Registrars::new(&view(1, &[4]));
        assert!(extents().all(|e| alone.registrar(e) == MemberNo(4) && alone.deputy(e).is_none()));
    }

    #[test]
    fn newcomers_count_from_the_next_epoch_on() {
        let mut with = view(1, &[0, 1]);
        with.members.push(Member { no: MemberNo(2), joined: Epoch(1) });
        assert_eq!(Registrars::new(&with).0, Registrars::new(&view(1, &[0, 1])).0);
    }
}
