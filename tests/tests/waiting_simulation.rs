//! The engine of waiting in simulated clusters of 2 to 6 nodes: random delays, interrupts, times that run out, deaths, newcomers, broken connections.
//!
//! `SCIFS_SEED=n` runs one seed, `SCIFS_SEEDS=n` that many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use scifs_tests::waiting::sim::{Summary, run};

const SEEDS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_wake_up_is_lost_no_barrier_is_torn_and_every_request_ends() {
    if let Some(seed) = number("SCIFS_SEED") {
        println!("{:?}", run(seed, None).unwrap_or_else(|violation| panic!("seed {seed}: {violation}")));
        return;
    }
    let seeds = number("SCIFS_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let total = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
                    let summary = run(seed, None).unwrap_or_else(|violation| {
                        panic!(
                            "seed {seed}: {violation}\nagain: SCIFS_SEED={seed} cargo test -p scifs-tests --test waiting_simulation"
                        )
                    });
                    total.lock().expect("no panic holds it").add(summary);
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic holds it");
    println!("{seeds} seeds: {total:?}");
    assert!(
        total.deaths as u64 > seeds / 10
            && total.breaks > 0
            && total.woken > 0
            && total.through > 0
            && total.interrupted > 0,
        "nothing happened: {total:?}"
    );
}
