//! `cargo xtask test`: every test of the project, as named steps. What CI runs and what a newcomer runs are the same.

mod licences;
mod mounts;
mod posix;
mod steps;
mod tally;
mod vm;

use std::time::Instant;

use crate::error::Error;
use tally::Tally;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these steps (see --list); all of them without names
    steps: Vec<String>,
    /// As much as was promised, where a step otherwise does a share of it
    #[arg(long)]
    full: bool,
    /// List the steps and leave
    #[arg(long)]
    list: bool,
}

/// One thing to check. It fails with an error, or by counting failed tests.
struct Step {
    name: &'static str,
    about: &'static str,
    /// All that was promised, or the share that people wait for.
    run: fn(full: bool) -> Result<Tally, Error>,
}

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    if options.list {
        for step in steps::ALL {
            println!("{:<10} {}", step.name, step.about);
        }
        return Ok(0);
    }
    let chosen = choose(&options.steps)?;
    let mut total = Tally::default();
    let mut failed = Vec::new();
    for step in &chosen {
        println!("\n=== {}: {}", step.name, step.about);
        let start = Instant::now();
        let tally = (step.run)(options.full).unwrap_or_else(|error| {
            crate::report(&error);
            Tally::failure()
        });
        let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
        println!("=== {}: {verdict}, {tally}, {:.0} s", step.name, start.elapsed().as_secs_f32());
        if tally.failed > 0 {
            failed.push(step.name);
        }
        total += tally;
    }
    println!();
    if !failed.is_empty() {
        println!(
            "failed steps: {}; run one again with: cargo xtask test {}",
            failed.join(", "),
            failed.join(" ")
        );
    }
    println!("{total}");
    Ok(u8::from(!failed.is_empty()))
}

fn choose(names: &[String]) -> Result<Vec<&'static Step>, Error> {
    if names.is_empty() {
        return Ok(steps::ALL.iter().collect());
    }
    let find = |name: &String| {
        steps::ALL.iter().find(|step| step.name == name).ok_or_else(|| {
            let known: Vec<_> = steps::ALL.iter().map(|step| step.name).collect();
            Error::Usage(format!("no test step is called {name:?}; there are {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}
