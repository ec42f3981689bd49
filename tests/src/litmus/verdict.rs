//! What was seen of one test, counted and compared with what the memory model allows.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{Program, VARIABLES, register_name};
use super::tso::{Outcome, allowed, serial};

/// A test in which nobody sees anybody's store proves nothing.
pub const COMMUNICATED_PERCENT_MIN: f64 = 10.0;

#[derive(Debug)]
pub struct Verdict {
    program: Program,
    allowed: BTreeMap<Outcome, bool>,
    serial: BTreeSet<Outcome>,
    seen: BTreeMap<Outcome, u64>,
    /// The first places where something forbidden was seen, or a thread hung: enough to repeat it.
    pub complaints: Vec<String>,
}

impl Verdict {
    pub fn new(program: &Program) -> Self {
        Self {
            allowed: allowed(program),
            serial: serial(program),
            seen: BTreeMap::new(),
            complaints: Vec::new(),
            program: program.clone(),
        }
    }

    pub fn name(&self) -> &str {
        &self.program.name
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Counts an outcome; `false` if it is forbidden.
    pub fn count(&mut self, outcome: Outcome) -> bool {
        let fine = self.allowed.contains_key(&outcome);
        *self.seen.entry(outcome).or_default() += 1;
        fine
    }

    pub fn iterations(&self) -> u64 {
        self.seen.values().sum()
    }

    pub fn forbidden(&self) -> u64 {
        self.sum(|outcome| !self.allowed.contains_key(outcome))
    }

    /// Iterations in which some load must have read another thread's store. In a test without loads: those that did not end
    /// in the most frequent way, so that the threads' order is seen to vary.
    pub fn communicated_percent(&self) -> f64 {
        if self.program.registers() == 0 {
            let most = self.seen.values().max().copied().unwrap_or(0);
            return self.percent(self.iterations() - most);
        }
        self.percent(self.sum(|outcome| self.allowed.get(outcome).copied().unwrap_or(true)))
    }

    /// Iterations that ended in a way in which threads that run one after another never end.
    pub fn overlapped_percent(&self) -> f64 {
        self.percent(self.sum(|outcome| !self.serial.contains(outcome)))
    }

    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
            && self.forbidden() == 0
            && self.communicated_percent() >= COMMUNICATED_PERCENT_MIN
    }

    /// How often each outcome was seen, most frequent first.
    pub fn histogram(&self) -> Vec<(String, u64, bool)> {
        let mut rows: Vec<_> = self.seen.iter().collect();
        rows.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        let row = |(outcome, times): (&Outcome, &u64)| {
            (self.describe(outcome), *times, self.allowed.contains_key(outcome))
        };
        rows.into_iter().map(row).collect()
    }

    /// `a=1 b=0 x=2`; variables that always end the same are left out, unless an outcome is forbidden.
    pub fn describe(&self, outcome: &Outcome) -> String {
        let registers = self.program.registers();
        let fine = self.allowed.contains_key(outcome);
        let varies = |index: usize| {
            let values: BTreeSet<_> = self.allowed.keys().map(|outcome| outcome[index]).collect();
            values.len() > 1
        };
        let part = |(index, value): (usize, &u64)| {
            let name = match index.checked_sub(registers) {
                None => register_name(index),
                Some(variable) => VARIABLES[variable],
            };
            (index < registers || !fine || varies(index)).then(|| format!("{name}={value:x}"))
        };
        outcome.iter().enumerate().filter_map(part).collect::<Vec<_>>().join(" ")
    }

    fn sum(&self, counts: impl Fn(&Outcome) -> bool) -> u64 {
        self.seen.iter().filter(|(outcome, _)| counts(outcome)).map(|(_, times)| times).sum()
    }

    fn percent(&self, part: u64) -> f64 {
        100.0 * part as f64 / self.iterations().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str, outcomes: &[(&[u64], u64)]) -> Verdict {
        let mut verdict = Verdict::new(&Program::parse("", text).unwrap());
        for (outcome, times) in outcomes {
            (0..*times).for_each(|_| _ = verdict.count(outcome.to_vec()));
        }
        verdict
    }

    #[test]
    fn what_the_model_does_not_know_is_forbidden() {
        let message_passing = "x=1 y=1 | a=y b=x";
        assert!(seen(message_passing, &[(&[1, 1, 1, 1], 9), (&[0, 1, 1, 1], 1)]).passed());
        let bad = seen(message_passing, &[(&[1, 1, 1, 1], 9), (&[1, 0, 1, 1], 1)]);
        assert_eq!((bad.forbidden(), bad.passed()), (1, false));
        assert_eq!(bad.histogram()[1], ("a=1 b=0 x=1 y=1".into(), 1, false));
        // A store that is lost altogether is one, too.
        assert_eq!(seen(message_passing, &[(&[0, 0, 1, 0], 1)]).forbidden(), 1);
    }

    #[test]
    fn threads_that_never_meet_prove_nothing() {
        assert!(!seen("x=1 y=1 | a=y b=x", &[(&[0, 0, 1, 1], 95), (&[1, 1, 1, 1], 5)]).passed());
        // Without loads the order in which stores arrive must vary.
        assert!(!seen("x=1 y=2 | y=1 x=2", &[(&[2, 1], 100)]).passed());
        assert!(seen("x=1 y=2 | y=1 x=2", &[(&[2, 1], 80), (&[1, 2], 20)]).passed());
    }
}
