//! Faults built into the protocol of waiting are found by the simulator, every one.

use scifs::sync::Mutation;
use scifs_tests::waiting::sim::run;

const SEEDS: u64 = 3_000;

#[test]
fn every_fault_is_found() {
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        match (0..SEEDS).find_map(|seed| Some((seed, run(seed, Some(mutation)).err()?))) {
            Some((seed, violation)) => println!("{mutation:?}: seed {seed}: {violation}"),
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
