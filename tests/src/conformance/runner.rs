//! Runs cases one after the other, one line each.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::lab::Lab;
use super::world::World;

/// One promise: its sentence, and the code that tries to break it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&Lab<'_>),
    pub needs: Needs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any fabric keeps it.
    Nothing,
    /// As `Nothing`, and it is about what a bad wire could break.
    BadWire,
    /// Nodes that take bytes from anybody.
    RawBytes,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub passed: usize,
    pub failed: Vec<&'static str>,
}

/// Each case gets a world of its own, so that it can't harm the next.
pub fn run(cases: &[Case], filter: &str, make_world: &dyn Fn() -> Box<dyn World>) -> Tally {
    let mut tally = Tally::default();
    for case in cases.iter().filter(|case| case.name.contains(filter)) {
        let world = make_world();
        if case.needs == Needs::RawBytes && !world.takes_raw_bytes() {
            continue;
        }
        let begun = Instant::now();
        match attempt(case, &*world) {
            Ok(()) => {
                tally.passed += 1;
                say(&format!("ok      {} ({:.1} s)", case.name, begun.elapsed().as_secs_f32()));
            }
            Err(what) => {
                tally.failed.push(case.name);
                say(&format!("FAILED  {}\n        {what}", case.name));
            }
        }
    }
    say(&format!("{} passed, {} failed", tally.passed, tally.failed.len()));
    tally
}

fn attempt(case: &Case, world: &dyn World) -> Result<(), String> {
    let lab = Lab::new(world);
    let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&lab)));
    match outcome {
        Ok(()) => lab.verdict(),
        Err(panic) => Err(match panic.downcast::<String>() {
            Ok(what) => *what,
            Err(panic) => (*panic.downcast::<&str>().unwrap_or(Box::new("panicked"))).to_string(),
        }),
    }
}

/// At once, so that a run that is killed has said how far it came.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed output must not end the run: its exit code still counts.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
