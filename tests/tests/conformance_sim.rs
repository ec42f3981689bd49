//! The conformance suite on the simulator, in a quiet network and in a rough one.

use scifs_tests::conformance::cases;
use scifs_tests::conformance::runner::run;
use scifs_tests::conformance::worlds::SimWorld;
use scios::verbs::sim::SimConfig;

fn assert_conforms(seed: u64, config: &SimConfig) {
    let tally = run(&cases::all(), "", &|| Box::new(SimWorld::new(seed, config.clone())));
    assert!(tally.failed.is_empty(), "seed {seed}, {config:?}: {:?}", tally.failed);
    assert!(tally.passed > 50, "only {} cases ran", tally.passed);
}

#[test]
fn the_simulator_keeps_every_promise_in_a_quiet_network() {
    assert_conforms(1, &SimConfig::default());
}

#[test]
fn the_simulator_keeps_every_promise_in_a_rough_network_whatever_the_seed() {
    for seed in 2..6 {
        assert_conforms(seed, &SimConfig::rough());
    }
}
