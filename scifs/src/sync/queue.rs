//! Who waits for one word or at one barrier, in order. Only its keeper has it.

use std::collections::BTreeMap;

use super::ids::{Rank, WaiterId};
use super::limits::LOOKS_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Queue {
    /// Of a barrier: what those who wait have agreed on.
    pub(super) parties: u32,
    waiting: BTreeMap<(Rank, WaiterId), State>,
    ranks: BTreeMap<WaiterId, Rank>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It hasn't said yet that the word is as it expects, so it can't be woken. `notified`: somebody notified meanwhile, so
    /// it has to look again.
    Unsure { looks: u8, notified: bool },
    /// It waits, and whoever notifies wakes it.
    Asleep,
}

/// What becomes of one who found the word as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stayed {
    Asleep,
    LookAgain(Rank),
    Out,
    Unknown,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn waiters(&self) -> impl Iterator<Item = (Rank, WaiterId, State)> {
        self.waiting.iter().map(|((rank, id), state)| (*rank, *id, *state))
    }

    pub(super) fn has(&self, id: WaiterId) -> bool {
        self.ranks.contains_key(&id)
    }

    pub(super) fn insert(&mut self, rank: Rank, id: WaiterId, state: State) {
        self.ranks.insert(id, rank);
        self.waiting.insert((rank, id), state);
    }

    pub(super) fn remove(&mut self, id: WaiterId) -> bool {
        self.ranks.remove(&id).is_some_and(|rank| self.waiting.remove(&(rank, id)).is_some())
    }

    pub(super) fn stay(&mut self, id: WaiterId, deaf: bool) -> Stayed {
        let Some(rank) = self.ranks.get(&id).copied() else { return Stayed::Unknown };
        let Some(state) = self.waiting.get_mut(&(rank, id)) else { return Stayed::Unknown };
        match *state {
            State::Unsure { looks, notified: true } if !deaf => {
                if looks >= LOOKS_MAX {
                    self.remove(id);
                    return Stayed::Out;
                }
                *state = State::Unsure { looks: looks + 1, notified: false };
                Stayed::LookAgain(rank)
            }
            _ => {
                *state = State::Asleep;
                Stayed::Asleep
            }
        }
    }

    /// Takes out those who sleep longest, `count` at most; the others will look again before they sleep.
    pub(super) fn wake(&mut self, count: u32, eager: bool) -> Vec<WaiterId> {
        let sleeps = |state: &State| *state == State::Asleep || eager;
        let sleeping = self.waiting.iter().filter(|(_, state)| sleeps(state)).map(|((_, id), _)| *id);
        let woken: Vec<_> = sleeping.take(count as usize).collect();
        for id in &woken {
            self.remove(*id);
        }
        for state in self.waiting.values_mut() {
            if let State::Unsure { notified, .. } = state {
                *notified = true;
            }
        }
        woken
    }

    pub(super) fn take_all(&mut self) -> Vec<WaiterId> {
        self.ranks.clear();
        std::mem::take(&mut self.waiting).into_keys().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coherence::{Epoch, MemberNo, Token};

    fn id(token: u64) -> WaiterId {
        WaiterId { node: MemberNo(1), token: Token(token) }
    }

    fn queue(tokens: u64) -> Queue {
        let mut queue = Queue::default();
        for token in 0..tokens {
            let rank = Rank { epoch: Epoch(1), number: token };
            queue.insert(rank, id(token), State::Unsure { looks: 1, notified: false });
        }
        queue
    }

    #[test]
    fn only_those_who_sleep_are_woken_and_who_sleeps_longest_first() {
        let mut queue = queue(4);
        for token in [3, 1, 2] {
            assert_eq!(queue.stay(id(token), false), Stayed::Asleep);
        }
        assert_eq!(queue.wake(2, false), [id(1), id(2)]);
        assert_eq!(queue.wake(9, false), [id(3)]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn who_was_notified_before_it_slept_looks_again_and_not_for_ever() {
        let mut queue = queue(1);
        let rank = Rank { epoch: Epoch(1), number: 0 };
        for _ in 1..LOOKS_MAX {
            assert!(queue.wake(1, false).is_empty());
            assert_eq!(queue.stay(id(0), false), Stayed::LookAgain(rank));
        }
        queue.wake(1, false);
        assert_eq!(queue.stay(id(0), false), Stayed::Out);
        assert_eq!(queue.stay(id(0), false), Stayed::Unknown);
    }
}
