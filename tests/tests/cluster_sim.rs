//! Simulated clusters under partitions, one-way cuts, crashes, restarts, pauses, bad clocks, joins and leaves: more than
//! 2,000 seeds, every invariant of `tests/src/invariants` looked at after every event.

use scifs_tests::cluster::{Scenario, run_seeds};

#[test]
fn clusters_of_3_nodes_keep_every_invariant() {
    run_seeds("clusters_of_3_nodes_keep_every_invariant", &Scenario::of(3), 900);
}

#[test]
fn clusters_of_5_nodes_keep_every_invariant() {
    run_seeds("clusters_of_5_nodes_keep_every_invariant", &Scenario::of(5), 700);
}

#[test]
fn clusters_of_7_nodes_keep_every_invariant() {
    run_seeds("clusters_of_7_nodes_keep_every_invariant", &Scenario::of(7), 500);
}
