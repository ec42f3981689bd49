//! What may be seen of numbers that only grow: not less than was complete before the look began, not more than was begun
//! before it ended.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Growing {
    begun: AtomicU64,
    complete: AtomicU64,
}

impl Growing {
    /// A change that makes the number one larger.
    pub(super) fn grow(&self, change: impl FnOnce()) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        change();
        self.complete.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn look(&self, what: &str, look: impl FnOnce() -> u64) -> u64 {
        let least = self.complete.load(Ordering::SeqCst);
        let seen = look();
        let most = self.begun.load(Ordering::SeqCst);
        assert!((least..=most).contains(&seen), "{what}: saw {seen}, which can only be {least} to {most}");
        seen
    }

    pub(super) fn total(&self) -> u64 {
        self.complete.load(Ordering::SeqCst)
    }
}
