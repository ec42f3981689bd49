//! Proof that the invariants can fail: clusters whose times break one rule of `LEASES.md` each, and are caught.

use std::time::Duration;

use scifs_tests::cluster::{Scenario, first_failure};
use scios::cluster::Timing;

/// Plays seeds until an invariant breaks, and says which.
fn caught(nodes: usize, mutate: impl FnOnce(&mut Timing)) -> &'static str {
    let mut scenario = Scenario::of(nodes);
    mutate(&mut scenario.timing);
    let (_, failure) = first_failure(&scenario, 1..=600).expect("600 seeds found nothing wrong");
    failure.invariant
}

#[test]
fn a_lease_that_outlives_the_failure_timeout_is_caught() {
    assert_eq!(caught(3, |t| t.lease = t.failure * 3 / 2), "lease_ends_before_death");
}

#[test]
fn a_new_leader_that_does_not_wait_is_caught() {
    assert_eq!(caught(3, |t| t.leader_wait = Duration::ZERO), "lease_ends_before_death");
}

/// Two leaders at once show in what they do, or in what one of them would read.
const TWO_LEADERS: [&str; 2] = ["no_split_brain", "reads_are_fresh"];

#[test]
fn an_authority_that_outlives_the_promises_behind_it_is_caught() {
    assert!(TWO_LEADERS.contains(&caught(3, |t| t.authority = t.promise * 20)));
}

#[test]
fn voters_that_promise_nothing_are_caught() {
    let without = |t: &mut Timing| (t.promise, t.authority) = (Duration::ZERO, t.failure);
    assert!(TWO_LEADERS.contains(&caught(5, without)));
}
