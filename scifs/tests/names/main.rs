//! Names compared with a real file system: the same random commands to both, and every result, error number and attribute must
//! be the same. A failure prints its seed; `SCIFS_SEED=… cargo test -p scifs --test names` repeats it.

mod commands;
mod model;
mod real;

use model::{Model, Random};

const STEPS: u32 = 4000;

fn run(seed: u64) {
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
}

#[test]
fn names_behave_as_a_local_file_system_does() {
    // The umask belongs to the whole process; no other test here makes files.
    rustix::process::umask(rustix::fs::Mode::empty());
    if let Ok(seed) = std::env::var("SCIFS_SEED") {
        return run(seed.parse().expect("SCIFS_SEED is a number"));
    }
    let mut seeds = Random::new(1);
    (0..25).for_each(|_| run(seeds.next()));
}
