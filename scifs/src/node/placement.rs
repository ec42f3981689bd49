//! Who becomes home of what is touched for the first time: who touches it, as long as it has room.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::coherence::{ExtentId, MemberNo, Placement};

/// Free bytes of the members, as they announced them. Who announced nothing has room.
#[derive(Debug, Default)]
pub struct FreeMemory(RwLock<HashMap<u32, u64>>);

impl FreeMemory {
    pub fn set(&self, member: u32, free_bytes: u64) {
        self.0.write().insert(member, free_bytes);
    }

    /// What a member announced; without end for who announced nothing.
    pub(super) fn of(&self, member: MemberNo) -> u64 {
        self.0.read().get(&member.0).copied().unwrap_or(u64::MAX)
    }

    pub fn forget(&self, member: u32) {
        self.0.write().remove(&member);
    }
}

/// First touch while the toucher has room, else the member with the most free memory: its pages can then leave the toucher.
#[derive(Debug)]
pub struct Roomy {
    free: Arc<FreeMemory>,
}

/// Below this a member takes on no new home.
const ROOM_BYTES_MIN: u64 = 8 << 20;

impl Roomy {
    pub fn new(free: &Arc<FreeMemory>) -> Self {
        Self { free: Arc::clone(free) }
    }
}

impl Placement for Roomy {
    fn home(&self, _: ExtentId, toucher: MemberNo, _: MemberNo) -> MemberNo {
        let free = self.free.0.read();
        if free.get(&toucher.0).is_none_or(|free| *free >= ROOM_BYTES_MIN) {
            return toucher;
        }
        let roomiest = free.iter().max_by_key(|(member, free)| (**free, **member));
        roomiest.map_or(toucher, |(member, _)| MemberNo(*member))
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
        free.set(1, ROOM_BYTES_MIN);
        free.set(2, ROOM_BYTES_MIN * 9);
        assert_eq!(home(), 1);
        free.set(1, ROOM_BYTES_MIN - 1);
        assert_eq!(home(), 2);
        free.forget(2);
        assert_eq!(home(), 1);
    }
}
