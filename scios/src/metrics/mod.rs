//! What a node counts and measures, in one registry: whoever has something to show asks it for a handle once, keeps
//! that, and records without locks or allocation. A snapshot becomes JSON or Prometheus' text.
//!
//! - Names are static and end in their unit: `_total` for counters; `_ns`, `_bytes`, `_pages`, `_count` for the rest.
//! - A name has at most `METRIC_SERIES_MAX` combinations of label values; what comes after that is counted together, as
//!   `other`. Series of a peer or segment that is gone are taken out by [`Registry::forget`].
//! - Recording costs a few nanoseconds, also when several threads do it at once: each of a few stripes of threads has
//!   its own cells, which are added up for a snapshot (`cargo run --release -p scios --example recording_cost`).

mod histogram;
mod instruments;
mod prometheus;
mod registry;
mod snapshot;
mod stripes;

pub use histogram::Histogram;
pub use instruments::{Counter, Gauge};
pub use registry::Registry;
pub use snapshot::{Family, HistogramSummary, Kind, Series, Snapshot, Value};
