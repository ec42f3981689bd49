//! Counting tests: runs a command with its output shown as it comes, and adds up the lines that its test runners close with.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use crate::error::{Doing, Error};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// A check that has no test runner of its own and held.
    pub(crate) fn success() -> Self {
        Self { passed: 1, failed: 0 }
    }

    pub(crate) fn failure() -> Self {
        Self { passed: 0, failed: 1 }
    }

    /// Reads `test result: ok. 3 passed; 0 failed; …` (cargo) and `3 passed, 0 failed` (our own runners).
    fn of_line(line: &str) -> Option<Self> {
        let counts =
            line.strip_prefix("test result:").map_or(line, |rest| rest.split_once(". ").map_or("", |r| r.1));
        let mut words = counts.split([' ', ',', ';']).filter(|word| !word.is_empty());
        let passed = words.next()?.parse().ok()?;
        let is_passed = words.next()? == "passed";
        let failed = words.next()?.parse().ok()?;
        (is_passed && words.next()? == "failed").then_some(Self { passed, failed })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a command that succeeds or not, as one test.
pub(crate) fn check(command: &mut Command) -> Result<Tally, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().map_err(|source| Error::Spawn { program, source })?;
    Ok(if status.success() { Tally::success() } else { Tally::failure() })
}

/// Runs a command whose test runners print how many tests passed. No test at all is a failure, and so is a
/// command that fails although every test that it printed passed.
pub(crate) fn count(command: &mut Command) -> Result<Tally, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.doing(|| format!("read what {program} prints"))?;
            if let Some(counted) = Tally::of_line(&line) {
                tally += counted;
            }
            println!("{line}");
        }
    }
    let status = child.wait().doing(|| format!("wait for {program}"))?;
    if tally.passed == 0 || (!status.success() && tally.failed == 0) {
        println!("{program} ended with {status} after {tally}");
        tally += Tally::failure();
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_cargo_and_of_our_runners_are_counted() {
        let cargo = "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Tally::of_line(cargo), Some(Tally { passed: 5, failed: 2 }));
        assert_eq!(Tally::of_line("7 passed, 1 failed"), Some(Tally { passed: 7, failed: 1 }));
        assert_eq!(Tally::of_line("7 passed the exam, 1 failed"), None);
        assert_eq!(Tally::of_line("test a_thing ... ok"), None);
    }

    #[test]
    fn a_run_without_tests_and_a_run_that_dies_are_failures() {
        let sh = |script: &str| count(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(sh("true").failed, 1);
        assert_eq!(sh("echo 3 passed, 0 failed; exit 1"), Tally { passed: 3, failed: 1 });
        assert_eq!(sh("echo 3 passed, 0 failed"), Tally { passed: 3, failed: 0 });
    }
}
