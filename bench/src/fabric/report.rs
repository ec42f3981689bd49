//! The table, and the same for machines.

use std::fmt;

use serde::Serialize;

use super::workload::{Mode, Workload, median};

#[derive(Debug)]
pub(super) struct Row {
    workload: Workload,
    mode: Mode,
    /// The most a round trip may take and the least throughput, in floors.
    targets: (f64, f64),
    /// One value a round.
    pub(super) floor: Vec<f64>,
    pub(super) subject: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Line {
    workload: String,
    mode: &'static str,
    unit: &'static str,
    floor: f64,
    subject: f64,
    ratio: f64,
    /// The ratios of the single rounds, to see how much the machine was disturbed.
    ratio_least: f64,
    ratio_most: f64,
    target: f64,
    reached: bool,
}

impl Row {
    pub(super) fn new(workload: Workload, mode: Mode, targets: (f64, f64)) -> Self {
        Self { workload, mode, targets, floor: Vec::new(), subject: Vec::new() }
    }

    fn line(&self) -> Line {
        let (most, least) = self.targets;
        // Round trips in µs, streams in MiB/s: what was measured are nanoseconds.
        type Convert = fn(f64) -> f64;
        let (unit, convert, target): (_, Convert, _) = match self.workload {
            Workload::RoundTrip { .. } => ("µs", |nanos| nanos / 1000.0, most),
            Workload::Stream { .. } => {
                ("MiB/s", |nanos_per_byte| 1e9 / nanos_per_byte / f64::from(1 << 20), least)
            }
        };
        let values = |measured: &[f64]| measured.iter().copied().map(convert).collect::<Vec<_>>();
        let (mut floors, mut subjects) = (values(&self.floor), values(&self.subject));
        let mut ratios: Vec<f64> = subjects.iter().zip(&floors).map(|(s, f)| s / f).collect();
        let (floor, subject) = (median(&mut floors), median(&mut subjects));
        ratios.sort_by(f64::total_cmp);
        let ratio = subject / floor;
        let reached = match self.workload {
            Workload::RoundTrip { .. } => ratio <= target,
            Workload::Stream { .. } => ratio >= target,
        };
        Line {
            workload: self.workload.name(),
            mode: self.mode.name(),
            unit,
            floor,
            subject,
            ratio,
            ratio_least: ratios.first().copied().unwrap_or(f64::NAN),
            ratio_most: ratios.last().copied().unwrap_or(f64::NAN),
            target,
            reached,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    subject: &'static str,
    floor: &'static str,
    rounds: u32,
    lines: Vec<Line>,
}

impl Report {
    pub(super) fn new(subject: &'static str, floor: &'static str, rounds: u32) -> Self {
        Self { subject, floor, rounds, lines: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.lines.push(row.line());
    }

    pub(super) fn misses_targets(&self) -> bool {
        self.lines.iter().any(|line| !line.reached)
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} beside {}, medians of {} alternating rounds", self.subject, self.floor, self.rounds)?;
        writeln!(
            f,
            "{:<26} {:<9} {:>6} {:>9} {:>9} {:>7} {:>15} {:>7}",
            "", "", "", "floor", self.subject, "ratio", "rounds", "target"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "{:<26} {:<9} {:>6} {:>9.2} {:>9.2} {:>7.3} {:>7.3}-{:<7.3} {:>6} {}",
                line.workload,
                line.mode,
                line.unit,
                line.floor,
                line.subject,
                line.ratio,
                line.ratio_least,
                line.ratio_most,
                line.target,
                if line.reached { "" } else { "missed" }
            )?;
        }
        Ok(())
    }
}
