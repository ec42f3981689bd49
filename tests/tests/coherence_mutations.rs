//! Faults built into the protocol are found by the model checker, every one; the sound protocol passes where they fail.

use scifs_tests::model::explore::explore;
use scifs_tests::mutations::{Mutant, sound};

#[test]
fn every_fault_is_found() {
    let mutants = Mutant::all();
    let mut missed = Vec::new();
    for mutant in &mutants {
        match mutant.hunt() {
            Some(found) => println!("{}: {} ({} states)", mutant.name, found.violation, found.states),
            None => missed.push(&mutant.name),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(mutants.len() >= 20);
}

#[test]
fn the_sound_protocol_passes_where_faults_are_found() {
    for (name, scope) in sound() {
        match explore(&scope, 20_000_000) {
            Ok(explored) => println!("{name}: {explored:?}"),
            Err(found) => panic!("{name}: {found}"),
        }
    }
}
