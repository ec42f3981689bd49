//! What must be true, judged from what programs were told, and from what the keepers have in their queues.

use std::collections::{BTreeMap, BTreeSet};

use scifs::sync::{Key, Queue, Round, State, WaiterId, Word};

use super::thread::Doing;
use super::violation::Violation;

#[derive(Debug, Default)]
pub(super) struct Oracle {
    woken: BTreeMap<Word, u64>,
    /// How many notifications were to wake, and said that they did.
    allowed: BTreeMap<Word, u64>,
    said: BTreeMap<Word, u64>,
    /// Who slept when a notification began.
    slept: BTreeMap<WaiterId, (Word, Vec<WaiterId>)>,
    must_end: BTreeMap<WaiterId, Word>,
    /// The last value of which all were notified.
    clean: BTreeMap<Word, u64>,
    /// The parties of rounds that were told to others.
    rounds: BTreeMap<(Key, Round), BTreeSet<WaiterId>>,
    /// Parties that went through such a round, and what they were told.
    through: BTreeMap<WaiterId, (Round, u32)>,
}

impl Oracle {
    pub(super) fn notifies(&mut self, by: WaiterId, word: Word, count: u32, asleep: Vec<WaiterId>) {
        *self.allowed.entry(word).or_default() += u64::from(count);
        self.slept.insert(by, (word, asleep));
    }

    pub(super) fn ended(&mut self, id: WaiterId, doing: Doing, result: u32) -> Result<(), Violation> {
        match doing {
            Doing::Wait { word, .. } => {
                let woken = self.woken.entry(word).or_default();
                *woken += 1;
                let allowed = self.allowed.get(&word).copied().unwrap_or_default();
                if *woken > allowed {
                    return Err(Violation::TooMany(word, *woken, allowed));
                }
            }
            Doing::Notify { word, count, written } => {
                *self.said.entry(word).or_default() += u64::from(result);
                let (_, asleep) = self.slept.remove(&id).unwrap_or((word, Vec::new()));
                if result < count {
                    self.must_end.extend(asleep.into_iter().map(|id| (id, word)));
                    self.clean.extend(written.map(|value| (word, value)));
                }
            }
            Doing::Arrive { .. } => {}
        }
        Ok(())
    }

    /// In one step these parties of one barrier went through, with what they were told. `rounds`: those that the step's messages
    /// speak of; what is in none of them is a round of one node's parties only.
    pub(super) fn passed(
        &mut self,
        key: Key,
        parties: &BTreeMap<WaiterId, u32>,
        rounds: &[(Key, Round, Vec<WaiterId>)],
        expected: Option<u32>,
    ) -> Result<(), Violation> {
        let mut alone = 0;
        for (id, told) in parties {
            match rounds.iter().find(|(k, _, parties)| *k == key && parties.contains(id)) {
                Some((_, round, all)) => {
                    self.rounds.entry((key, *round)).or_default().extend(all);
                    self.through.insert(*id, (*round, *told));
                }
                None => alone += 1,
            }
        }
        match (parties.keys().next(), expected) {
            (Some(id), Some(expected)) if alone % expected > 0 => Err(Violation::Alone(*id, key)),
            _ => Ok(()),
        }
    }

    /// A notification took these out of a queue.
    pub(super) fn woke(word: Word, before: &Queue, after: Option<&Queue>) -> Result<(), Violation> {
        let left: BTreeSet<_> =
            after.into_iter().flat_map(|queue| queue.waiters().map(|(_, id, _)| id)).collect();
        let mut sleeper = None;
        for (_, id, state) in before.waiters() {
            match (left.contains(&id), state) {
                (false, State::Unsure { .. }) => return Err(Violation::Awake(word, id)),
                (true, State::Asleep) => sleeper = sleeper.or(Some(id)),
                (false, State::Asleep) => {
                    if let Some(first) = sleeper {
                        return Err(Violation::Overtaken(word, id, first));
                    }
                }
                (true, State::Unsure { .. }) => {}
            }
        }
        Ok(())
    }

    /// Nothing happens any more: who waits may do so.
    pub(super) fn check_waiting(
        &self,
        waiting: &BTreeMap<WaiterId, Doing>,
        value: impl Fn(Word) -> u64,
    ) -> Result<(), Violation> {
        for (id, word) in &self.must_end {
            if waiting.contains_key(id) {
                return Err(Violation::Slept(*word, *id));
            }
        }
        for (id, doing) in waiting {
            if let Doing::Wait { word, expected } = doing
                && *expected != value(*word)
                && self.clean.get(word) == Some(&value(*word))
            {
                return Err(Violation::Missed(*word, *id));
            }
        }
        Ok(())
    }

    /// `lives`: whether a request's node has lived from then to the end.
    pub(super) fn check_rounds(
        &self,
        lives: impl Fn(&WaiterId) -> bool,
        parties_of: impl Fn(&Key) -> Option<u32>,
    ) -> Result<(), Violation> {
        for ((key, round), parties) in &self.rounds {
            let passed = |id: &WaiterId| self.through.get(id).filter(|(through, _)| through == round);
            let survivors: Vec<_> = parties.iter().filter(|id| lives(id)).collect();
            let through: Vec<_> = survivors.iter().filter_map(|id| passed(id)).collect();
            if through.is_empty() {
                continue;
            }
            if let Some(shut) = survivors.iter().find(|id| passed(id).is_none()) {
                return Err(Violation::Torn(*round, *key, **shut));
            }
            let whole = survivors.len() == parties.len();
            if let Some(expected) = parties_of(key)
                && whole
                && parties.len() != expected as usize
            {
                return Err(Violation::Incomplete(*round, *key, parties.len(), expected));
            }
            let ones = through.iter().filter(|(_, told)| *told == 1).count();
            if ones > 1 || (ones == 0 && whole) {
                return Err(Violation::Ones(*round, *key, ones));
            }
        }
        Ok(())
    }

    /// Without misfortunes, what notifications said is what happened.
    pub(super) fn check_counts(&self) -> Result<(), Violation> {
        for (word, said) in &self.said {
            let woken = self.woken.get(word).copied().unwrap_or_default();
            if woken != *said {
                return Err(Violation::Miscounted(*word, woken, *said));
            }
        }
        Ok(())
    }
}
