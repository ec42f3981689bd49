//! What waiting counts.

use scios::metrics::{Counter, Gauge, Registry};

#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) waiting: Gauge,
    pub(super) waits: Counter,
    pub(super) woken: Counter,
    pub(super) notified: Counter,
    pub(super) arrivals: Counter,
}

impl Metrics {
    pub(super) fn of(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            waiting: registry.gauge(
                "scifs_waiting_count",
                "Programs of this node that wait for a word or at a barrier.",
                &[],
            ),
            waits: counter("scifs_waits_total", "Times that a program of this node waited for a word."),
            woken: counter("scifs_waits_woken_total", "Waits for a word that a notification ended."),
            notified: counter("scifs_notifications_total", "Times that a program of this node notified."),
            arrivals: counter(
                "scifs_barrier_arrivals_total",
                "Times that a program of this node came to a barrier.",
            ),
        }
    }
}
