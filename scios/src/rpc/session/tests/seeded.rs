//! Two sessions under everything that can happen to them, many times over. `SCIFS_SEED=n` repeats one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::pair::{A, B, Pair, Seen};
use crate::Epoch;
use crate::rpc::frame::FRAME_PAYLOAD_BYTES_MAX;
use crate::rpc::session::CallSpec;

const SEEDS: u64 = 1_000;
const STEPS: usize = 300;

/// splitmix64.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub(super) fn flip(&mut self) -> bool {
        self.below(2) == 1
    }
}

struct Asked {
    spec: CallSpec,
    id: u64,
    runs: u32,
    ended: bool,
}

/// One run, and what is known about it that no session knows.
struct Run {
    pair: Pair,
    chance: Chance,
    epochs: [Epoch; 2],
    asked: BTreeMap<u32, Asked>,
    next: u32,
    /// Requests that each side is serving: id → token.
    serving: [BTreeMap<u64, u32>; 2],
    /// The last one-way message that each side got, unfenced and fenced.
    last: [[u32; 2]; 2],
    /// How often each end of a call was seen.
    ends: BTreeMap<String, u64>,
}

#[test]
fn whatever_happens_each_call_ends_once_and_truthfully() {
    if let Ok(seed) = std::env::var("SCIFS_SEED") {
        Run::new(seed.parse().unwrap()).go();
        return;
    }
    let mut ends = BTreeMap::new();
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| Run::new(seed).go());
        let Ok(seen) = result else {
            panic!("SCIFS_SEED={seed} cargo test -p scios --lib rpc::session::tests::seeded")
        };
        for (end, count) in seen {
            *ends.entry(end).or_insert(0) += count;
        }
    }
    // A test in which nothing goes wrong proves nothing.
    for end in ["Ok", "Ran twice", "TimedOut", "PeerLost", "Cancelled", "StaleEpoch"] {
        assert!(ends.get(end).is_some_and(|count| *count > 100), "{end} was hardly seen: {ends:?}");
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let (epochs, last) = ([Epoch(1); 2], [[0; 2]; 2]);
        let (serving, asked) = Default::default();
        let ends = BTreeMap::new();
        Self { pair: Pair::new(), chance: Chance::new(seed), epochs, asked, next: 1, serving, last, ends }
    }

    fn go(mut self) -> BTreeMap<String, u64> {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.settle();
        self.ends
    }

    fn step(&mut self) {
        let side = self.chance.below(2) as usize;
        match self.chance.below(1000) {
            0..150 => self.call(side),
            150..250 => self.tell(side),
            250..650 => drop(self.pair.deliver(side)),
            650..850 => self.answer(side),
            850..870 => self.cancel(side),
            870..920 => self.pair.pass(Duration::from_millis(1 + self.chance.below(60))),
            920..935 => self.new_view(side),
            935..943 => self.pair.disconnect(),
            943..975 => self.pair.connect(),
            975..983 => self.pair.sides[side].room = self.chance.below(3) as usize,
            _ => self.pair.make_room(side, usize::MAX),
        }
    }

    fn payload(&mut self, token: u32) -> Vec<u8> {
        let extra = if self.chance.below(40) == 0 { 2 * FRAME_PAYLOAD_BYTES_MAX } else { 100 };
        let mut bytes = vec![0; 4 + self.chance.below(extra as u64) as usize];
        bytes[..4].copy_from_slice(&token.to_le_bytes());
        bytes
    }

    fn call(&mut self, side: usize) {
        let (fenced, idempotent) = (self.chance.flip(), self.chance.flip());
        let deadline = Duration::from_millis(1 + self.chance.below(400));
        let spec = CallSpec { kind: 300, fenced, idempotent, deadline };
        let token = self.next * 2 + side as u32;
        self.next += 1;
        let payload = self.payload(token);
        self.asked.insert(token, Asked { spec, id: 0, runs: 0, ended: false });
        let id = self.pair.call(side, &spec, &payload, token);
        self.asked.get_mut(&token).unwrap().id = id;
    }

    fn tell(&mut self, side: usize) {
        let (fenced, number) = (self.chance.flip(), self.next);
        self.next += 1;
        let payload = self.payload(number);
        // It may be refused: lost messages are allowed, but not messages out of order or twice.
        let _ = self.pair.one_way(side, fenced, &payload);
    }

    fn answer(&mut self, side: usize) {
        let Some((id, token)) = self.serving[side].pop_first() else { return };
        let payload = self.payload(token);
        let fenced = self.chance.below(4) == 0;
        self.pair.reply(side, id, fenced, &payload);
    }

    fn cancel(&mut self, side: usize) {
        let mine = |token: &u32| (*token % 2) as usize == side;
        let Some(asked) = self.asked.iter().rfind(|(token, _)| mine(token)) else { return };
        let id = asked.1.id;
        self.pair.cancel(side, id);
    }

    fn new_view(&mut self, side: usize) {
        let newest = self.epochs[A].max(self.epochs[B]);
        let catches_up = self.epochs[side] < newest;
        self.epochs[side] = if catches_up { newest } else { Epoch(newest.0 + 1) };
        let epoch = self.epochs[side];
        self.pair.sides[side].session.set_epoch(epoch);
    }

    fn check(&mut self) {
        for side in [A, B] {
            for seen in self.pair.take_seen(side) {
                self.judge(side, seen);
            }
        }
    }

    fn judge(&mut self, side: usize, seen: Seen) {
        match seen {
            Seen::Request { id, epoch, fenced, payload } => {
                assert!(!fenced || epoch == self.epochs[side], "a fenced request ran in another epoch");
                let token = token_of(&payload);
                let asked = self.asked.get_mut(&token).unwrap();
                asked.runs += 1;
                if asked.runs == 2 {
                    *self.ends.entry("Ran twice".into()).or_default() += 1;
                }
                assert!(asked.runs == 1 || asked.spec.idempotent, "{token} ran {} times", asked.runs);
                let running = self.serving[side].insert(id, token);
                assert_eq!(running, None, "{token} ran twice at the same time");
            }
            Seen::OneWay { epoch, fenced, payload } => {
                assert!(!fenced || epoch == self.epochs[side], "a fenced message passed in another epoch");
                let number = token_of(&payload);
                let last = &mut self.last[side][usize::from(fenced)];
                assert!(number > *last, "message {number} came after {last}");
                *last = number;
            }
            Seen::Done { token, result } => {
                let asked = self.asked.get_mut(&token).unwrap();
                assert!(!asked.ended, "{token} ended twice");
                asked.ended = true;
                let name = match &result {
                    Ok(_) => "Ok".into(),
                    Err(error) => format!("{error:?}").split([' ', '(']).next().unwrap().to_owned(),
                };
                *self.ends.entry(name).or_default() += 1;
                match result {
                    Ok(payload) => assert!(token_of(&payload) == token && asked.runs > 0, "{token}"),
                    Err(error) if !error.may_have_run() => assert_eq!(asked.runs, 0, "{token}: {error}"),
                    Err(_) => {}
                }
            }
            Seen::Unwanted { id } => drop(self.serving[side].remove(&id)),
            Seen::OneWayRefused { .. } => {}
        }
    }

    /// Whatever the state, everything ends in bounded time.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.pair.pass(Duration::from_secs(1));
            self.check();
        }
        let open: BTreeSet<_> = self.asked.iter().filter(|(_, asked)| !asked.ended).map(|(t, _)| t).collect();
        assert!(open.is_empty(), "calls {open:?} never ended");
        for side in [A, B] {
            assert_eq!(self.pair.sides[side].session.calls_in_flight(), 0);
            assert_eq!(self.pair.sides[side].session.requests_served(), 0);
        }
    }
}

fn token_of(payload: &[u8]) -> u32 {
    u32::from_le_bytes(*payload.first_chunk().unwrap())
}
