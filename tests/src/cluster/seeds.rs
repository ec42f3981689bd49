//! Many runs: seeds are spread over the processors; the first failure is reported with what repeats it.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scios::cluster::Timing;
use scios::verbs::sim::SimConfig;

use super::node::lock;
use super::{Chance, Failure, Plan, Setup, World};

/// What is played for every seed.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub nodes: usize,
    pub timing: Timing,
    pub trouble: Duration,
}

impl Scenario {
    pub fn of(nodes: usize) -> Self {
        Self { nodes, timing: Timing::default(), trouble: Duration::from_secs(8) }
    }

    /// One run. Everything in it follows from the seed.
    pub fn play(&self, seed: u64) -> Result<(), Failure> {
        let mut chance = Chance::new(seed);
        let delay_max_us = [200, 2_000, 20_000][chance.between(0, 3) as usize];
        let config = SimConfig {
            delay_min_us: 10,
            delay_max_us,
            loss_ppm: if chance.one_in(3) { 20_000 } else { 0 },
            drift_ppm_max: 100_000,
            skew_ms_max: 10_000,
            crash_resets: chance.one_in(2),
            tick_ms: 25,
            ..SimConfig::default()
        };
        let voters_max = if self.nodes >= 5 && chance.one_in(2) { 5 } else { 3 };
        let setup = Setup { timing: self.timing, voters_max, ..Setup::default() };
        let plan = Plan {
            nodes: self.nodes,
            trouble: self.trouble,
            every: Duration::from_millis(chance.between(60, 500)),
            nodes_max: self.nodes + 2,
        };
        World::new(seed, config, setup).play(&plan)
    }
}

/// The seed that was asked for, if one was.
pub fn reproduce() -> Option<u64> {
    std::env::var("SCIFS_SEED").ok().map(|seed| seed.parse().expect("SCIFS_SEED is a number"))
}

/// Plays seeds `1..=count` (or `SCIFS_SEEDS` of them, or the one in `SCIFS_SEED`) and panics with the first failure. `test` is the name to
/// repeat it by.
pub fn run_seeds(test: &str, scenario: &Scenario, count: u64) {
    if let Some(seed) = reproduce() {
        if let Err(failure) = scenario.play(seed) {
            panic!("seed {seed}: {failure}");
        }
        return;
    }
    let more = std::env::var("SCIFS_SEEDS").ok().map(|n| n.parse().expect("SCIFS_SEEDS is a number"));
    let count = more.unwrap_or(count);
    let started = Instant::now();
    if let Some((seed, failure)) = first_failure(scenario, 1..=count) {
        panic!(
            "seed {seed}: {failure}\nto repeat it: SCIFS_SEED={seed} SCIFS_VERBOSE=1 cargo test -p scifs-tests \
             --test cluster_sim -- --exact {test} --nocapture"
        );
    }
    println!("{count} seeds of {} nodes in {:.1} s", scenario.nodes, started.elapsed().as_secs_f64());
}

/// Plays seeds on all processors until one fails.
pub fn first_failure(scenario: &Scenario, seeds: RangeInclusive<u64>) -> Option<(u64, Failure)> {
    let (next, failed) = (AtomicU64::new(*seeds.start()), Mutex::new(None));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *seeds.end() || lock(&failed).is_some() {
                        return;
                    }
                    if let Err(failure) = scenario.play(seed) {
                        lock(&failed).get_or_insert((seed, failure));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
