//! All metrics at one moment, as data.

use std::collections::BTreeMap;

use serde::Serialize;

/// Every metric, sorted by name and labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    pub families: Vec<Family>,
}

/// Everything of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub series: Vec<Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One combination of label values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'static str, String>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Counter(u64),
    Gauge(i64),
    Histogram(HistogramSummary),
}

/// Quantiles are at most 1/32 above the true value and never below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistogramSummary {
    pub count: u64,
    pub sum: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
    /// How many values lie in each power of two from 2^5 on; the first number is that of those below.
    #[serde(skip)]
    pub(super) powers: Vec<u64>,
}

impl Snapshot {
    /// The value of a metric; for tests and for commands that show one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Value> {
        let family = self.families.iter().find(|family| family.name == name)?;
        let same = |series: &&Series| {
            series.labels.len() == labels.len()
                && labels.iter().all(|(key, value)| series.labels.get(key).is_some_and(|v| v == value))
        };
        family.series.iter().find(same).map(|series| &series.value)
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Registry;

    #[test]
    fn a_snapshot_is_readable_json() {
        let registry = Registry::new();
        registry.counter("scifs_x_total", "X.", &[("peer", "n1")]).add(2);
        registry.histogram("scifs_y_ns", "Y.", &[]).record(9);
        let json = serde_json::to_value(registry.snapshot()).unwrap();
        assert_eq!(
            json["families"],
            serde_json::json!([
                { "name": "scifs_x_total", "help": "X.", "kind": "counter",
                  "series": [{ "labels": { "peer": "n1" }, "value": 2 }] },
                { "name": "scifs_y_ns", "help": "Y.", "kind": "histogram",
                  "series": [{ "value": { "count": 1, "sum": 9, "p50": 9, "p90": 9, "p99": 9, "max": 9 } }] },
            ])
        );
    }
}
