//! Interrupts that overtook their requests: several workers read, so one may see the interrupt before another has taken
//! up the lock that it is for.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Requests of other kinds are interrupted as well and never looked for here, so old ones are dropped. More than can be read
/// and not yet taken up: one a worker.
const EARLY_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct EarlyInterrupts {
    uniques: Mutex<VecDeque<u64>>,
}

impl EarlyInterrupts {
    pub(super) fn remember(&self, unique: u64) {
        let mut uniques = self.uniques.lock();
        if uniques.len() == EARLY_MAX {
            uniques.pop_front();
        }
        uniques.push_back(unique);
    }

    /// Whether the request was interrupted before it came.
    pub(super) fn take(&self, unique: u64) -> bool {
        let mut uniques = self.uniques.lock();
        match uniques.iter().position(|early| *early == unique) {
            Some(at) => uniques.remove(at).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_interrupt_is_found_once_and_old_ones_are_forgotten() {
        let early = EarlyInterrupts::default();
        early.remember(1);
        assert!(early.take(1));
        assert!(!early.take(1));
        for unique in 0..=EARLY_MAX as u64 {
            early.remember(unique);
        }
        assert!(!early.take(0));
        assert!(early.take(1));
    }
}
