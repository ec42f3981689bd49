//! Prometheus' text format, version 0.0.4. Times are kept in nanoseconds and shown in seconds, as its users expect.

use std::fmt::{self, Write};

use super::histogram::highest_in_power;
use super::snapshot::{Family, HistogramSummary, Kind, Series, Snapshot, Value};

const NS_PER_S: f64 = 1e9;

impl Snapshot {
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            // Writing to a String cannot fail.
            let _ = write_family(&mut text, family);
        }
        text
    }
}

fn write_family(text: &mut String, family: &Family) -> fmt::Result {
    let in_ns = family.name.ends_with("_ns");
    let name = match family.name.strip_suffix("_ns") {
        Some(stem) => format!("{stem}_seconds"),
        None => family.name.to_owned(),
    };
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    writeln!(text, "# HELP {name} {}", family.help.replace('\\', r"\\").replace('\n', r"\n"))?;
    writeln!(text, "# TYPE {name} {kind}")?;
    for series in &family.series {
        match &series.value {
            Value::Counter(value) => writeln!(text, "{name}{} {value}", Labels(series, None))?,
            Value::Gauge(value) => {
                writeln!(text, "{name}{} {}", Labels(series, None), Number(*value as f64, in_ns))?;
            }
            Value::Histogram(summary) => write_histogram(text, &name, series, summary, in_ns)?,
        }
    }
    Ok(())
}

/// Cumulative counts at each power of two: the same bounds for every node and at any time, so that they can be added.
fn write_histogram(
    text: &mut String,
    name: &str,
    series: &Series,
    summary: &HistogramSummary,
    in_ns: bool,
) -> fmt::Result {
    let mut below = 0;
    // The last one also holds what is too large for any bound; it is `+Inf`.
    for (power, count) in summary.powers.iter().enumerate().take(summary.powers.len().saturating_sub(1)) {
        below += count;
        let bound = Number(highest_in_power(power) as f64, in_ns).to_string();
        writeln!(text, "{name}_bucket{} {below}", Labels(series, Some(&bound)))?;
    }
    writeln!(text, "{name}_bucket{} {}", Labels(series, Some("+Inf")), summary.count)?;
    writeln!(text, "{name}_sum{} {}", Labels(series, None), Number(summary.sum as f64, in_ns))?;
    writeln!(text, "{name}_count{} {}", Labels(series, None), summary.count)
}

/// A number, in seconds if it is one of nanoseconds.
struct Number(f64, bool);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, in_ns) = *self;
        if in_ns { write!(f, "{:e}", value / NS_PER_S) } else { write!(f, "{value}") }
    }
}

/// `{key="value",le="bound"}`, or nothing.
struct Labels<'a>(&'a Series, Option<&'a str>);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(series, bound) = self;
        let mut separator = '{';
        for (key, value) in &series.labels {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            write!(f, "{separator}{key}=\"{value}\"")?;
            separator = ',';
        }
        if let Some(bound) = bound {
            write!(f, "{separator}le=\"{bound}\"")?;
            separator = ',';
        }
        if separator == ',' { f.write_str("}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Registry;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let registry = Registry::new();
        registry.counter("scifs_x_total", "What\nx \\ is.", &[("peer", "a\"b\\c\nd"), ("kind", "k")]).add(3);
        registry.gauge("scifs_x_bytes", "X.", &[]).set(-4096);
        let expected = "# HELP scifs_x_bytes X.\n# TYPE scifs_x_bytes gauge\nscifs_x_bytes -4096\n\
            # HELP scifs_x_total What\\nx \\\\ is.\n# TYPE scifs_x_total counter\n\
            scifs_x_total{kind=\"k\",peer=\"a\\\"b\\\\c\\nd\"} 3\n";
        assert_eq!(registry.snapshot().prometheus(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_in_seconds() {
        let registry = Registry::new();
        let histogram = registry.histogram("scifs_fault_ns", "Faults.", &[("mode", "read")]);
        for value in [1, 40, 1_000, 1_000_000, u64::MAX / 4] {
            histogram.record(value);
        }
        let text = registry.snapshot().prometheus();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "# TYPE scifs_fault_seconds histogram");
        assert_eq!(lines[2], "scifs_fault_seconds_bucket{mode=\"read\",le=\"3.1e-8\"} 1");
        assert_eq!(lines[3], "scifs_fault_seconds_bucket{mode=\"read\",le=\"6.3e-8\"} 2");
        assert_eq!(lines[7], "scifs_fault_seconds_bucket{mode=\"read\",le=\"1.023e-6\"} 3");
        let counts: Vec<u64> = lines[2..lines.len() - 2]
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(lines[lines.len() - 3], "scifs_fault_seconds_bucket{mode=\"read\",le=\"+Inf\"} 5");
        assert!(lines[lines.len() - 2].starts_with("scifs_fault_seconds_sum{mode=\"read\"} 4.611686"));
        assert_eq!(lines[lines.len() - 1], "scifs_fault_seconds_count{mode=\"read\"} 5");
    }
}
