//! One thread of a program: it waits, notifies and meets others at random.

use scifs::sync::{BarrierName, Word};

use crate::model::random::Random;

#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    Wait {
        word: Word,
        expected: u64,
    },
    /// `written`: the value that it has stored before.
    Notify {
        word: Word,
        count: u32,
        written: Option<u64>,
    },
    Arrive {
        name: BarrierName,
        parties: u32,
    },
}

/// What all threads of a run draw from.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) words: Vec<Word>,
    pub(super) barriers: Vec<(BarrierName, u32)>,
    pub(super) barrier_percent: u64,
    pub(super) notify_percent: u64,
    /// Some want another number of parties.
    pub(super) quarrels: bool,
}

impl Mix {
    pub(super) fn draw(random: &mut Random) -> Self {
        let barrier = |n: u64| (BarrierName::of_text(&format!("b{n}")).unwrap_or_else(|| unreachable!()), n);
        let count = random.between(1, 3);
        let barriers = (0..count).map(barrier).map(|(name, _)| (name, random.between(2, 5) as u32)).collect();
        Self {
            words: (0..random.between(1, 4)).map(|n| Word { inode: 7, offset: n * 8 }).collect(),
            barriers,
            barrier_percent: *random.pick(&[0, 30, 60, 100]),
            notify_percent: *random.pick(&[20, 40, 60]),
            quarrels: random.percent(10),
        }
    }

    pub(super) fn next(&self, random: &mut Random, value: impl Fn(Word) -> u64) -> Doing {
        if random.percent(self.barrier_percent) {
            let (name, parties) = *random.pick(&self.barriers);
            let more = u32::from(self.quarrels && random.percent(20));
            return Doing::Arrive { name, parties: parties + more };
        }
        let word = *random.pick(&self.words);
        if random.percent(self.notify_percent) {
            let count = *random.pick(&[1, 1, 2, u32::MAX]);
            let written = random.percent(60).then(|| value(word) + 1);
            return Doing::Notify { word, count, written };
        }
        Doing::Wait { word, expected: value(word) }
    }
}
