//! The table, and the same for machines.

use std::fmt;

use serde::Serialize;

use super::load::Measured;
use super::workload::{Unit, Workload};

/// Measured in the same rounds, because a target is a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    InProcess,
    RoundTrip,
    Stream,
}

impl Reference {
    /// What the target of a workload is made of.
    pub(super) fn of(workload: Workload) -> &'static [Self] {
        match workload {
            Workload::DirtyMigration => &[Self::InProcess, Self::RoundTrip],
            Workload::ReadSequential | Workload::MapSequential => &[Self::Stream],
            _ => &[],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InProcess => "both mounts in one process",
            Self::RoundTrip => "raw TCP, 64 B for 4 KiB",
            Self::Stream => "raw TCP, one stream",
        }
    }
}

/// The most that a migration may take of what FUSE and TCP take by themselves.
const MIGRATION_MOST: f64 = 1.3;
/// The least that reading in order must reach of what TCP alone does.
const SEQUENTIAL_LEAST: f64 = 0.3;

/// What the rounds gave.
#[derive(Debug, Default)]
pub(super) struct Series {
    typical: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    pub(super) fn push(&mut self, measured: Measured) {
        self.typical.push(measured.typical);
        self.p99.extend(measured.p99);
    }

    fn figure(&self, unit: Unit) -> Figure {
        let shown = |values: &[f64]| median(values.iter().map(|nanos| unit.shown(*nanos)).collect());
        Figure { median: shown(&self.typical), p99: (!self.p99.is_empty()).then(|| shown(&self.p99)) }
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Latency => "µs",
            Self::Rate => "MiB/s",
        }
    }

    /// From nanoseconds, of an operation or of a byte.
    fn shown(self, nanos: f64) -> f64 {
        match self {
            Self::Latency => nanos / 1000.0,
            Self::Rate => 1e9 / nanos / f64::from(1 << 20),
        }
    }
}

#[derive(Debug)]
pub(super) struct Row {
    workload: Workload,
    pub(super) floor: Series,
    pub(super) subject: Series,
    pub(super) references: Vec<(Reference, Series)>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Figure {
    median: f64,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Line {
    workload: &'static str,
    unit: &'static str,
    floor: Figure,
    scifs: Figure,
    ratio: f64,
    /// The ratios of the single rounds, to see how much the machine was disturbed.
    ratio_least: f64,
    ratio_most: f64,
    references: Vec<(&'static str, Figure)>,
    target: Option<Target>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Target {
    bound: f64,
    reached: bool,
}

impl Row {
    pub(super) fn new(workload: Workload) -> Self {
        let references = Reference::of(workload).iter().map(|which| (*which, Series::default())).collect();
        Self { workload, floor: Series::default(), subject: Series::default(), references }
    }

    fn line(&self) -> Line {
        let unit = self.workload.unit();
        let shown =
            |series: &Series| series.typical.iter().map(|nanos| unit.shown(*nanos)).collect::<Vec<_>>();
        let mut ratios: Vec<f64> = shown(&self.subject)
            .iter()
            .zip(shown(&self.floor))
            .map(|(subject, floor)| subject / floor)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let (floor, scifs) = (self.floor.figure(unit), self.subject.figure(unit));
        let references: Vec<_> =
            self.references.iter().map(|(which, series)| (which.name(), series.figure(unit))).collect();
        Line {
            workload: self.workload.name(),
            unit: unit.name(),
            floor,
            scifs,
            ratio: scifs.median / floor.median,
            ratio_least: ratios.first().copied().unwrap_or(f64::NAN),
            ratio_most: ratios.last().copied().unwrap_or(f64::NAN),
            target: target(unit, scifs, &references),
            references,
        }
    }
}

fn target(unit: Unit, scifs: Figure, references: &[(&str, Figure)]) -> Option<Target> {
    if references.is_empty() {
        return None;
    }
    let sum: f64 = references.iter().map(|(_, figure)| figure.median).sum();
    Some(match unit {
        Unit::Latency => {
            let bound = sum * MIGRATION_MOST;
            Target { bound, reached: scifs.median <= bound }
        }
        Unit::Rate => {
            let bound = sum * SEQUENTIAL_LEAST;
            Target { bound, reached: scifs.median >= bound }
        }
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    rounds: u32,
    spin_us: u64,
    lines: Vec<Line>,
}

impl Report {
    pub(super) fn new(rounds: u32, spin_us: u64) -> Self {
        Self { rounds, spin_us, lines: Vec::new() }
    }

    pub(super) fn add(&mut self, row: &Row) {
        self.lines.push(row.line());
    }

    pub(super) fn misses_targets(&self) -> bool {
        self.lines.iter().any(|line| line.target.is_some_and(|target| !target.reached))
    }

    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.p99 {
            Some(p99) => write!(f, "{:>9.1} {p99:>9.1}", self.median),
            None => write!(f, "{:>9.1} {:>9}", self.median, ""),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "two mounts of scifs beside a minimal program on FUSE and TCP, spin_us={}, medians of {} alternating rounds",
            self.spin_us, self.rounds
        )?;
        writeln!(
            f,
            "{:<30} {:>6} {:>9} {:>9} {:>9} {:>9} {:>7} {:>15}  target",
            "", "", "floor", "p99", "scifs", "p99", "ratio", "rounds"
        )?;
        for line in &self.lines {
            write!(
                f,
                "{:<30} {:>6} {} {} {:>7.2} {:>7.2}-{:<7.2}",
                line.workload,
                line.unit,
                line.floor,
                line.scifs,
                line.ratio,
                line.ratio_least,
                line.ratio_most
            )?;
            if let Some(target) = line.target {
                write!(f, "  {target}")?;
            }
            writeln!(f)?;
            for (name, figure) in &line.references {
                writeln!(f, "  {name:<28} {:>6} {figure}", line.unit)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} {}", self.bound, if self.reached { "reached" } else { "missed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: Workload, subject: f64, references: &[f64]) -> Row {
        let mut row = Row::new(workload);
        let at = |typical| Measured { typical, p99: None };
        row.floor.push(at(1000.0));
        row.subject.push(at(subject));
        for ((_, series), typical) in row.references.iter_mut().zip(references) {
            series.push(at(*typical));
        }
        row
    }

    #[test]
    fn a_migration_is_held_to_the_sum_of_fuse_and_tcp_and_a_stream_to_a_part_of_tcp() {
        let migration =
            |nanos| row(Workload::DirtyMigration, nanos, &[30_000.0, 10_000.0]).line().target.unwrap();
        assert!(migration(52_000.0).reached && !migration(52_100.0).reached);
        let stream =
            |nanos_per_byte| row(Workload::MapSequential, nanos_per_byte, &[1.0]).line().target.unwrap();
        assert!(stream(3.3).reached && !stream(3.4).reached);
        assert!(row(Workload::ReadSmall, 1e9, &[]).line().target.is_none());
    }
}
