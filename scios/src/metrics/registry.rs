//! Where handles come from and snapshots are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::snapshot::{Family, Kind, Series, Snapshot, Value};
use super::{Counter, Gauge, Histogram};
use crate::limits::METRIC_SERIES_MAX;

/// What names end in, so that nobody has to guess a unit.
const UNITS: [&str; 4] = ["_ns", "_bytes", "_pages", "_count"];

/// The value that all labels of a series have which came after the last that there is room for.
const OTHER: &str = "other";

/// Label keys are code, values are data.
type Labels = BTreeMap<&'static str, String>;
type Observe = Arc<dyn Fn() -> i64 + Send + Sync>;

/// One for each node. Asking for a handle takes a lock and may allocate, so it's done once, not for each recording.
#[derive(Default)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, Registered>>,
}

struct Registered {
    help: &'static str,
    kind: Kind,
    series: BTreeMap<Labels, Instrument>,
}

#[derive(Clone)]
enum Instrument {
    Counter(Counter),
    Gauge(Gauge),
    Observed(Observe),
    Histogram(Histogram),
}

impl Registry {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The counter of that name and those labels; the same one for everybody who asks.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let new = || Instrument::Counter(Counter::default());
        match self.instrument(Kind::Counter, name, help, labels, new) {
            Some(Instrument::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// Shows a counter that existed before the registry knew of it.
    pub fn show_counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        counter: &Counter,
    ) {
        self.instrument(Kind::Counter, name, help, labels, || Instrument::Counter(counter.clone()));
    }

    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        let new = || Instrument::Gauge(Gauge::default());
        match self.instrument(Kind::Gauge, name, help, labels, new) {
            Some(Instrument::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// A gauge whose value is asked for when a snapshot is made. `observe` must not wait.
    pub fn observed_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        observe: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        let observe: Observe = Arc::new(observe);
        self.instrument(Kind::Gauge, name, help, labels, || Instrument::Observed(observe));
    }

    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let new = || Instrument::Histogram(Histogram::default());
        match self.instrument(Kind::Histogram, name, help, labels, new) {
            Some(Instrument::Histogram(histogram)) => histogram,
            _ => Histogram::default(),
        }
    }

    /// Takes out every series with that label value, because what it names is gone. Handles go on working, unseen.
    pub fn forget(&self, key: &'static str, value: &str) {
        for family in self.families.lock().values_mut() {
            family.series.retain(|labels, _| labels.get(key).is_none_or(|v| v != value));
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        // Copied first: an observed gauge may lock what somebody holds who asks for a handle.
        let copies: Vec<_> = {
            let families = self.families.lock();
            let copy = |(&name, family): (&&'static str, &Registered)| {
                let series: Vec<_> = family.series.iter().map(|(l, i)| (l.clone(), i.clone())).collect();
                (name, family.help, family.kind, series)
            };
            families.iter().map(copy).collect()
        };
        let families = copies.into_iter().map(|(name, help, kind, series)| {
            let series =
                series.into_iter().map(|(labels, instrument)| Series { labels, value: instrument.value() });
            Family { name, help, kind, series: series.collect() }
        });
        Snapshot { families: families.filter(|family| !family.series.is_empty()).collect() }
    }

    /// `None` when the name already means something of another kind: a mistake in the program, which costs the later
    /// one its visibility and nobody the node.
    fn instrument(
        &self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        new: impl FnOnce() -> Instrument,
    ) -> Option<Instrument> {
        debug_assert!(is_well_named(name, kind), "{name} has no unit that fits a {kind:?}");
        let mut families = self.families.lock();
        let family =
            families.entry(name).or_insert_with(|| Registered { help, kind, series: BTreeMap::new() });
        if family.kind != kind {
            tracing::error!(name, registered = ?family.kind, asked = ?kind, "a metric has two kinds");
            return None;
        }
        let mut labels: Labels = labels.iter().map(|&(key, value)| (key, value.to_owned())).collect();
        if family.series.len() >= METRIC_SERIES_MAX && !family.series.contains_key(&labels) {
            labels.values_mut().for_each(|value| OTHER.clone_into(value));
        }
        Some(family.series.entry(labels).or_insert_with(new).clone())
    }
}

impl Instrument {
    fn value(&self) -> Value {
        match self {
            Self::Counter(counter) => Value::Counter(counter.get()),
            Self::Gauge(gauge) => Value::Gauge(gauge.get()),
            Self::Observed(observe) => Value::Gauge(observe()),
            Self::Histogram(histogram) => Value::Histogram(histogram.summary()),
        }
    }
}

fn is_well_named(name: &str, kind: Kind) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let unit = match kind {
        Kind::Counter => name.ends_with("_total"),
        Kind::Gauge | Kind::Histogram => UNITS.iter().any(|unit| name.ends_with(unit)),
    };
    letters && unit && name.starts_with("scifs_")
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("families", &self.families.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_the_same_name_and_labels_shares_a_counter() {
        let registry = Registry::new();
        let [a, b] = [0, 1].map(|_| registry.counter("scifs_x_total", "X.", &[("peer", "n1")]));
        let other = registry.counter("scifs_x_total", "X.", &[("peer", "n2")]);
        a.increment();
        b.add(2);
        other.add(10);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", "n1")]), Some(&Value::Counter(3)));
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", "n2")]), Some(&Value::Counter(10)));
        assert_eq!(snapshot.value("scifs_x_total", &[]), None);
    }

    #[test]
    fn label_values_beyond_the_limit_are_counted_together_until_others_are_forgotten() {
        let registry = Registry::new();
        let count = |peer: usize| {
            registry.counter("scifs_x_total", "X.", &[("peer", &peer.to_string())]).increment();
        };
        (0..METRIC_SERIES_MAX + 5).for_each(count);
        count(3);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.families[0].series.len(), METRIC_SERIES_MAX + 1);
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", "other")]), Some(&Value::Counter(5)));
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", "3")]), Some(&Value::Counter(2)));
        registry.forget("peer", "3");
        registry.forget("peer", "4");
        count(METRIC_SERIES_MAX + 9);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", "3")]), None);
        let late = (METRIC_SERIES_MAX + 9).to_string();
        assert_eq!(snapshot.value("scifs_x_total", &[("peer", &late)]), Some(&Value::Counter(1)));
    }

    #[test]
    fn a_gauge_is_set_added_to_or_observed() {
        let registry = Registry::new();
        let gauge = registry.gauge("scifs_x_bytes", "X.", &[]);
        gauge.set(5);
        gauge.add(-7);
        registry.observed_gauge("scifs_y_bytes", "Y.", &[], || 42);
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.value("scifs_x_bytes", &[]), Some(&Value::Gauge(-2)));
        assert_eq!(snapshot.value("scifs_y_bytes", &[]), Some(&Value::Gauge(42)));
    }

    #[test]
    fn names_say_their_unit() {
        for (name, kind, well) in [
            ("scifs_faults_total", Kind::Counter, true),
            ("scifs_fault_ns", Kind::Histogram, true),
            ("scifs_free_bytes", Kind::Gauge, true),
            ("scifs_faults", Kind::Counter, false),
            ("scifs_fault", Kind::Histogram, false),
            ("faults_total", Kind::Counter, false),
            ("scifs_Faults_total", Kind::Counter, false),
        ] {
            assert_eq!(is_well_named(name, kind), well, "{name}");
        }
    }
}
