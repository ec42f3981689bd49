//! Names on three nodes (`cluster`), and names compared with a real file system: there the same random commands to both, and every result, error number and attribute must
//! be the same. A failure prints its seed; `SCIFS_SEED=… cargo test -p scifs --test names` repeats it.

mod cluster;
mod commands;
mod model;
mod real;

use std::collections::BTreeMap;

use model::{Model, Random};

const STEPS: u32 = 4000;

const SEEDS: u32 = 25;
/// Kinds of commands, and how often each must have worked in all for the comparison to prove anything.
const KINDS: usize = 10;
const WORKED_MIN: u32 = 50;

/// Answers how often each kind of command worked.
fn run(seed: u64) -> BTreeMap<String, u32> {
    let mut model = Model::new(seed);
    for step in 0..STEPS {
        let command = commands::random(&mut model);
        if let Err(why) = commands::compare(&mut model, &command) {
            panic!("SCIFS_SEED={seed}, step {step}: {command:?}: {why}");
        }
        if step % 50 == 0
            && let Err(why) = model.compare_everything()
        {
            panic!("SCIFS_SEED={seed}, step {step}, after {command:?}: {why}");
        }
    }
    model.worked
}

#[test]
fn names_behave_as_a_local_file_system_does() {
    // The umask belongs to the whole process; no other test here makes files.
    rustix::process::umask(rustix::fs::Mode::empty());
    if let Ok(seed) = std::env::var("SCIFS_SEED") {
        run(seed.parse().expect("SCIFS_SEED is a number"));
        return;
    }
    let (mut seeds, mut worked) = (Random::new(1), BTreeMap::<_, u32>::new());
    for (kind, count) in (0..SEEDS).flat_map(|_| run(seeds.next())) {
        *worked.entry(kind).or_default() += count;
    }
    assert_eq!(worked.values().filter(|count| **count >= WORKED_MIN).count(), KINDS, "{worked:?}");
}
