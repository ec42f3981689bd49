//! Who becomes home of what is touched for the first time: who touches it, as long as it has room.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use scios::limits::PAGE_BYTES;

use super::limits::{READERS_BYTES_MAX, READERS_SHARE};
use crate::coherence::limits::EXTENT_PAGES;
use crate::coherence::{ExtentId, MemberNo, Placement};

/// Free bytes of the members, as they announced them, less what was given them to be home of since. Who announced nothing has
/// room.
#[derive(Debug, Default)]
pub struct FreeMemory(Mutex<HashMap<u32, Free>>);

#[derive(Clone, Copy, Debug, Default)]
struct Free {
    /// All that it donates, 0 if that isn't known.
    budget: u64,
    announced: u64,
    /// Bytes it became home of since the last announcement, and between that and the one before: which of those it had
    /// counted isn't known.
    given: [u64; 2],
}

impl Free {
    /// Below zero when more was promised than there is.
    fn left(&self) -> i128 {
        i128::from(self.announced) - self.given.iter().map(|given| i128::from(*given)).sum::<i128>()
    }

    fn takes_extents(&self) -> bool {
        self.announced >= for_readers(self.budget) + EXTENT_BYTES
    }
}

/// What a member with so much memory keeps for pages that are only read: a node that is full of pages it is home of must still
/// be able to show its programs those of others.
pub(super) fn for_readers(budget_bytes: u64) -> u64 {
    (budget_bytes / READERS_SHARE).min(READERS_BYTES_MAX)
}

impl FreeMemory {
    /// What a member says.
    pub fn set(&self, member: u32, free_bytes: u64) {
        let mut members = self.0.lock();
        let free = members.entry(member).or_default();
        *free = Free { announced: free_bytes, given: [0, free.given[0]], ..*free };
    }

    /// What a new member brings, until it says something itself.
    pub fn begin(&self, member: u32, memory_bytes: u64) {
        let all = Free { budget: memory_bytes, announced: memory_bytes, ..Free::default() };
        self.0.lock().entry(member).or_insert(all).budget = memory_bytes;
    }

    /// Whether a member takes in pages that it is home of, as far as is known here.
    pub(super) fn has_room(&self, member: u32) -> bool {
        self.0.lock().get(&member).is_some_and(Free::takes_extents)
    }

    pub(super) fn others_have_room(&self, me: u32) -> bool {
        self.0.lock().iter().any(|(member, free)| *member != me && free.takes_extents())
    }

    /// What a member announced; without end for who announced nothing.
    pub(super) fn of(&self, member: MemberNo) -> u64 {
        self.0.lock().get(&member.0).map_or(u64::MAX, |free| free.announced)
    }

    pub fn forget(&self, member: u32) {
        self.0.lock().remove(&member);
    }
}

/// First touch while the toucher has room, else the member with the most free memory: its pages can then leave the toucher.
#[derive(Debug)]
pub struct Roomy {
    free: Arc<FreeMemory>,
}

/// Below this a member takes on no new home.
const ROOM_BYTES_MIN: i128 = 8 << 20;

const EXTENT_BYTES: u64 = EXTENT_PAGES as u64 * PAGE_BYTES as u64;

impl Roomy {
    pub fn new(free: &Arc<FreeMemory>) -> Self {
        Self { free: Arc::clone(free) }
    }
}

impl Placement for Roomy {
    fn home(&self, _: ExtentId, toucher: MemberNo, _: MemberNo) -> MemberNo {
        let mut members = self.free.0.lock();
        let toucher_has_room = members.get(&toucher.0).is_none_or(|free| free.left() >= ROOM_BYTES_MIN);
        let roomiest = || members.iter().max_by_key(|(member, free)| (free.left(), **member));
        let home =
            if toucher_has_room { toucher } else { roomiest().map_or(toucher, |(no, _)| MemberNo(*no)) };
        // Each member is registrar of an equal part of all extents, so the others have given out as much as this one.
        let registrars = members.len() as u64;
        if let Some(free) = members.get_mut(&home.0) {
            free.given[0] = free.given[0].saturating_add(EXTENT_BYTES * registrars);
        }
        home
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::SegmentId;

    #[test]
    fn who_touches_becomes_home_until_it_is_short_of_memory() {
        let free = Arc::new(FreeMemory::default());
        let roomy = Roomy::new(&free);
        let home = || roomy.home(ExtentId { segment: SegmentId(1), index: 0 }, MemberNo(1), MemberNo(0)).0;
        assert_eq!(home(), 1);
        free.set(1, ROOM_BYTES_MIN as u64);
        free.set(2, ROOM_BYTES_MIN as u64 * 9);
        assert_eq!(home(), 1);
        free.set(1, ROOM_BYTES_MIN as u64 - 1);
        assert_eq!(home(), 2);
        free.forget(2);
        assert_eq!(home(), 1);
    }

    #[test]
    fn who_fills_its_memory_faster_than_it_announces_is_not_taken_for_empty() {
        let free = Arc::new(FreeMemory::default());
        let roomy = Roomy::new(&free);
        let home = |index| roomy.home(ExtentId { segment: SegmentId(1), index }, MemberNo(1), MemberNo(0)).0;
        let extents = 20;
        let begin = |member| free.begin(member, ROOM_BYTES_MIN as u64 + extents * 2 * EXTENT_BYTES);
        (1..=2).for_each(begin);
        let own = (0..).take_while(|index| home(*index) == 1).count() as u64;
        assert_eq!(own, extents + 1, "each of the two is registrar of half of them");
        // What both have left is given out evenly.
        let given: Vec<u32> = (0..40).map(home).collect();
        assert!((5..35).contains(&given.iter().filter(|member| **member == 1).count()), "{given:?}");
        // An announcement may have been on its way; after the next one it has counted everything.
        (1..=2).for_each(|member| free.set(member, ROOM_BYTES_MIN as u64));
        assert!(free.0.lock()[&1].left() < 0);
        (1..=2).for_each(|member| free.set(member, ROOM_BYTES_MIN as u64));
        assert_eq!(free.0.lock()[&1].left(), ROOM_BYTES_MIN);
    }
}
