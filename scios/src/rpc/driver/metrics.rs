//! What the driver counts, and a call as it waits for its end.

use crate::Nanos;
use crate::metrics::{Counter, Histogram, Registry};
use crate::rpc::error::CallError;
use crate::rpc::service::{Completion, Incoming};

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    call_ns: Histogram,
    calls_failed: [(&'static str, Counter); CallError::NAMES.len()],
    pub requests: Counter,
    pub one_ways: Counter,
    pub one_ways_refused: Counter,
    pub violations: Counter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let failed = |why| {
            let help = "Calls of this node that ended without an answer, by the reason.";
            (why, registry.counter("scifs_rpc_calls_failed_total", help, &[("why", why)]))
        };
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            call_ns: registry.histogram(
                "scifs_rpc_call_ns",
                "From the beginning of a call to its answer, in nanoseconds.",
                &[],
            ),
            calls_failed: CallError::NAMES.map(failed),
            requests: counter("scifs_rpc_requests_total", "Requests of peers that were served."),
            one_ways: counter("scifs_rpc_one_ways_total", "One-way messages of peers that were delivered."),
            one_ways_refused: counter(
                "scifs_rpc_one_ways_refused_total",
                "One-way messages of this node that a peer refused, mostly for their epoch.",
            ),
            violations: counter(
                "scifs_rpc_violations_total",
                "Connections closed because a peer sent what is not of this protocol.",
            ),
        }
    }

    fn failed(&self, error: &CallError) {
        let name = error.name();
        if let Some((_, counter)) = self.calls_failed.iter().find(|(why, _)| *why == name) {
            counter.increment();
        }
    }
}

/// What a session keeps for a call of the driver.
pub(super) struct Waiter {
    pub began: Nanos,
    pub done: Completion,
}

impl Waiter {
    pub(super) fn fail(self, metrics: &Metrics, error: CallError) {
        metrics.failed(&error);
        (self.done)(Err(error));
    }

    pub(super) fn end(self, metrics: &Metrics, now: Nanos, result: Result<Incoming<'_>, CallError>) {
        match result {
            Ok(message) => {
                metrics.call_ns.record_duration(now.since(self.began));
                (self.done)(Ok(message));
            }
            Err(error) => self.fail(metrics, error),
        }
    }
}
