//! The table, and the same for machines.

use std::fmt;

use serde::Serialize;

use crate::sweep::Measured;

/// What one number is. All are measured in nanoseconds: of an operation, of a byte, or from one operation to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The time of one operation; less is better.
    Latency,
    /// Bytes in a time.
    Rate,
    /// Operations in a time.
    Frequency,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Latency => "µs",
            Self::Rate => "MiB/s",
            Self::Frequency => "1/s",
        }
    }

    fn shown(self, nanos: f64) -> f64 {
        match self {
            Self::Latency => nanos / 1000.0,
            Self::Rate => 1e9 / nanos / f64::from(1 << 20),
            Self::Frequency => 1e9 / nanos,
        }
    }
}

/// The most that a time may be, or the least of a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// In floors.
    Floors(f64),
    /// In sums of the references.
    References(f64),
    Microseconds(f64),
}

/// What the rounds gave.
#[derive(Debug, Default)]
pub(crate) struct Series {
    typical: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    pub(crate) fn push(&mut self, measured: Measured) {
        self.typical.push(measured.typical);
        self.p99.extend(measured.p99);
    }

    fn shown(&self, unit: Unit) -> Vec<f64> {
        self.typical.iter().map(|nanos| unit.shown(*nanos)).collect()
    }

    fn figure(&self, unit: Unit) -> Option<Figure> {
        let mut p99: Vec<f64> = self.p99.iter().map(|nanos| unit.shown(*nanos)).collect();
        let p99 = (!p99.is_empty()).then(|| median(&mut p99));
        (!self.typical.is_empty()).then(|| Figure { median: median(&mut self.shown(unit)), p99 })
    }
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    workload: String,
    mode: Option<&'static str>,
    unit: Unit,
    bound: Option<Bound>,
    pub(crate) floor: Series,
    pub(crate) subject: Series,
    /// Measured in the same rounds.
    pub(crate) references: Vec<(&'static str, Series)>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Figure {
    median: f64,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Line {
    workload: String,
    mode: Option<&'static str>,
    unit: &'static str,
    floor: Option<Figure>,
    scifs: Figure,
    ratio: Option<Ratio>,
    references: Vec<(&'static str, Figure)>,
    target: Option<Target>,
}

/// To the floor.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratio {
    median: f64,
    /// Those of the single rounds, to see how much the machine was disturbed.
    least: f64,
    most: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Target {
    bound: f64,
    reached: bool,
}

impl Row {
    pub(crate) fn new(
        workload: String,
        mode: Option<&'static str>,
        unit: Unit,
        bound: Option<Bound>,
    ) -> Self {
        let (floor, subject, references) = (Series::default(), Series::default(), Vec::new());
        Self { workload, mode, unit, bound, floor, subject, references }
    }

    fn line(self) -> Option<Line> {
        let unit = self.unit;
        let (floor, scifs) = (self.floor.figure(unit), self.subject.figure(unit)?);
        let references: Vec<_> = self
            .references
            .iter()
            .filter_map(|(name, series)| series.figure(unit).map(|figure| (*name, figure)))
            .collect();
        let target = self.bound.and_then(|bound| target(bound, unit, scifs, floor, &references));
        let ratio = floor.map(|floor| ratio(unit, &self.subject, &self.floor, scifs.median / floor.median));
        let Self { workload, mode, .. } = self;
        Some(Line { workload, mode, unit: unit.name(), floor, scifs, ratio, references, target })
    }
}

fn ratio(unit: Unit, subject: &Series, floor: &Series, median: f64) -> Ratio {
    let pairs = subject.shown(unit).into_iter().zip(floor.shown(unit));
    let mut ratios: Vec<f64> = pairs.map(|(subject, floor)| subject / floor).collect();
    ratios.sort_by(f64::total_cmp);
    let end = |ratio: Option<&f64>| ratio.copied().unwrap_or(f64::NAN);
    Ratio { median, least: end(ratios.first()), most: end(ratios.last()) }
}

fn target(
    bound: Bound,
    unit: Unit,
    scifs: Figure,
    floor: Option<Figure>,
    references: &[(&str, Figure)],
) -> Option<Target> {
    let bound = match bound {
        Bound::Floors(floors) => floor?.median * floors,
        Bound::References(sums) => references.iter().map(|(_, figure)| figure.median).sum::<f64>() * sums,
        Bound::Microseconds(most) => most,
    };
    let reached = match unit {
        Unit::Latency => scifs.median <= bound,
        Unit::Rate | Unit::Frequency => scifs.median >= bound,
    };
    Some(Target { bound, reached })
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was compared with what.
    title: String,
    rounds: u32,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(title: String, rounds: u32) -> Self {
        Self { title, rounds, lines: Vec::new() }
    }

    /// A row without rounds says nothing.
    pub(crate) fn add(&mut self, row: Row) {
        self.lines.extend(row.line());
    }

    pub(crate) fn misses_targets(&self) -> bool {
        self.lines.iter().any(|line| line.target.is_some_and(|target| !target.reached))
    }

    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.1}", self.median)?;
        match self.p99 {
            Some(p99) => write!(f, " {p99:>9.1}"),
            None => write!(f, " {:>9}", ""),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7.2} {:>7.2}-{:<7.2}", self.median, self.least, self.most)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} {}", self.bound, if self.reached { "reached" } else { "missed" })
    }
}

/// What there isn't is left blank, as wide as it would be.
struct Blank<T>(Option<T>, usize);

impl<T: fmt::Display> fmt::Display for Blank<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => write!(f, "{:width$}", "", width = self.1),
        }
    }
}

const FIGURE_WIDTH: usize = 19;
const RATIO_WIDTH: usize = 23;

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.mode {
            Some(mode) => format!("{} {mode}", self.workload),
            None => self.workload.clone(),
        };
        let (floor, ratio) = (Blank(self.floor, FIGURE_WIDTH), Blank(self.ratio, RATIO_WIDTH));
        write!(f, "{name:<38} {:>6} {floor} {} {ratio}", self.unit, self.scifs)?;
        writeln!(f, "  {}", Blank(self.target, 0))?;
        for (name, figure) in &self.references {
            writeln!(f, "  {name:<36} {:>6} {figure}", self.unit)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, medians of {} alternating rounds", self.title, self.rounds)?;
        writeln!(
            f,
            "{:<38} {:>6} {:>9} {:>9} {:>9} {:>9} {:>7} {:>15}  target",
            "", "", "floor", "p99", "scifs", "p99", "ratio", "rounds"
        )?;
        self.lines.iter().try_for_each(|line| line.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(unit: Unit, bound: Bound, subject: f64, references: &[f64]) -> Option<bool> {
        let mut row = Row::new("work".into(), None, unit, Some(bound));
        let at = |typical| Measured { typical, p99: None };
        row.floor.push(at(1000.0));
        row.subject.push(at(subject));
        for typical in references {
            let mut series = Series::default();
            series.push(at(*typical));
            row.references.push(("reference", series));
        }
        row.line()?.target.map(|target| target.reached)
    }

    #[test]
    fn times_have_a_most_and_rates_a_least() {
        let most = |nanos| target_of(Unit::Latency, Bound::Floors(1.3), nanos, &[]);
        assert_eq!((most(1300.0), most(1301.0)), (Some(true), Some(false)));
        let least = |nanos| target_of(Unit::Rate, Bound::Floors(0.5), nanos, &[]);
        assert_eq!((least(2000.0), least(2001.0)), (Some(true), Some(false)));
    }

    #[test]
    fn a_bound_is_of_the_sum_of_the_references_or_of_the_clock() {
        let sum = |nanos| target_of(Unit::Latency, Bound::References(1.3), nanos, &[30_000.0, 10_000.0]);
        assert_eq!((sum(52_000.0), sum(52_100.0)), (Some(true), Some(false)));
        let clock = |nanos| target_of(Unit::Latency, Bound::Microseconds(10.0), nanos, &[]);
        assert_eq!((clock(10_000.0), clock(10_001.0)), (Some(true), Some(false)));
    }

    #[test]
    fn what_has_no_floor_has_no_ratio_and_no_target_in_floors() {
        let mut row = Row::new("work".into(), None, Unit::Frequency, Some(Bound::Floors(1.0)));
        row.subject.push(Measured { typical: 1000.0, p99: Some(2000.0) });
        let line = row.line().unwrap();
        assert!(line.ratio.is_none() && line.target.is_none());
        assert!(Row::new("work".into(), None, Unit::Frequency, None).line().is_none());
    }
}
