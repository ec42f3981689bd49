//! The production engine explored completely: every order of every event in small clusters. See
//! `scifs/src/coherence/PROTOCOL.md` for what that shows.

use scifs_tests::model::explore::explore;
use scifs_tests::model::scopes::{deadly, peaceful};
use scifs_tests::model::world::Scope;

/// 8 bytes each, and their table: below 1 GiB.
const STATES_MAX: usize = 40_000_000;

fn explore_all(what: &str, scope: &Scope, states_min: usize) {
    match explore(scope, STATES_MAX) {
        Ok(explored) => {
            println!("{what}: {explored:?}");
            assert!(explored.states > states_min, "so few states can't be all");
        }
        Err(found) => panic!("{what}: {found}"),
    }
}

#[test]
fn three_nodes_two_pages_two_operations_each() {
    explore_all("3 nodes, 2 pages, 2 operations each", &peaceful(3, 2, 2), 500_000);
}

/// By who dies, so that two processors share the work.
fn one_dies_and_comes_back(who: usize) {
    let scope = Scope { mortals: vec![who], ..deadly(3, 2, 1) };
    explore_all(
        &format!("3 nodes, 2 pages, 1 operation each, node {who} dies and restarts"),
        &scope,
        1_000_000,
    );
}

#[test]
fn three_nodes_two_pages_death_and_restart_of_the_first_home() {
    one_dies_and_comes_back(0);
}

#[test]
fn three_nodes_two_pages_death_and_restart_of_the_second_home() {
    one_dies_and_comes_back(1);
}

#[test]
fn three_nodes_two_pages_death_and_restart_of_the_third_node() {
    one_dies_and_comes_back(2);
}
