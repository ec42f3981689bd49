//! The coherence engine in simulated clusters of 2 to 9 nodes: random delays, deaths, newcomers, broken connections.
//!
//! `SCIFS_SEED=n` runs one seed, `SCIFS_SEEDS=n` that many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scifs_tests::model::sim::{Summary, run, shares};

const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_history_is_sequentially_consistent_and_every_request_ends() {
    if let Some(seed) = number("SCIFS_SEED") {
        println!("{:?}", run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}")));
        return;
    }
    let seeds = number("SCIFS_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let total = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
                    let summary = run(seed).unwrap_or_else(|violation| {
                        panic!(
                            "seed {seed}: {violation}\nagain: SCIFS_SEED={seed} cargo test -p scifs-tests --test coherence_simulation"
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
        total.deaths as u64 > seeds / 4 && total.breaks > 0 && total.lost > 0,
        "nothing happened: {total:?}"
    );
}

#[test]
fn writers_that_hammer_one_page_get_their_shares() {
    for (seed, nodes, least_percent) in [(1, 2, 40), (2, 2, 40), (3, 4, 15), (4, 9, 5)] {
        let shares =
            shares(seed, nodes, Duration::from_micros(50)).unwrap_or_else(|violation| panic!("{violation}"));
        let total: usize = shares.iter().sum();
        println!("{nodes} nodes: {shares:?}");
        assert!(shares.iter().all(|share| share * 100 > total * least_percent), "unfair: {shares:?}");
    }
}
