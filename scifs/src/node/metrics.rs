//! What pages count.

use std::sync::OnceLock;
use std::time::Instant;

use scios::metrics::{Counter, Histogram, Registry};

use super::pages::Pages;

const FAULT: &str = "scifs_fault_ns";
const FAULT_HELP: &str =
    "From a fault of a mapping to its page; here: this node had it, elsewhere: others had to give it up.";

#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Requests that could not be served from what was here.
    pub(super) faults: Counter,
    pub(super) pages_sent: Counter,
    pub(super) pages_received: Counter,
    /// Pages taken from the kernel's cache.
    pub(super) pages_revoked: Counter,
    pub(super) pages_ahead: Counter,
    pub(super) distrusted: Counter,
    faults_here: OnceLock<Histogram>,
    faults_elsewhere: OnceLock<Histogram>,
}

impl Metrics {
    /// A page was given to the kernel for a mapping.
    pub(super) fn fault_ended(&self, began: Instant, local: bool) {
        let histogram = if local { &self.faults_here } else { &self.faults_elsewhere };
        if let Some(histogram) = histogram.get() {
            histogram.record_duration(began.elapsed());
        }
    }
}

/// What a program may want to know of its node, since the membership began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Faults of mappings.
    pub faults: u64,
    /// Those of them for which others had to give something up.
    pub faults_elsewhere: u64,
    pub received: u64,
    pub sent: u64,
    pub revoked: u64,
}

impl Pages {
    pub fn counts(&self) -> PageCounts {
        let counted = &self.metrics;
        let faults = |of: &OnceLock<Histogram>| of.get().map_or(0, |histogram| histogram.summary().count);
        let faults_elsewhere = faults(&counted.faults_elsewhere);
        PageCounts {
            faults: faults(&counted.faults_here) + faults_elsewhere,
            faults_elsewhere,
            received: counted.pages_received.get(),
            sent: counted.pages_sent.get(),
            revoked: counted.pages_revoked.get(),
        }
    }

    /// Shows what is counted among a node's metrics.
    pub fn show(&self, registry: &Registry) {
        let counted = &self.metrics;
        let all = [
            ("scifs_page_faults_total", "Accesses that had to ask for a page.", &counted.faults),
            ("scifs_pages_sent_total", "Pages sent to other members.", &counted.pages_sent),
            ("scifs_pages_received_total", "Pages that came from other members.", &counted.pages_received),
            (
                "scifs_pages_revoked_total",
                "Pages taken back from the kernel's cache.",
                &counted.pages_revoked,
            ),
            ("scifs_pages_ahead_total", "Pages fetched ahead of a reader.", &counted.pages_ahead),
            (
                "scifs_peers_distrusted_total",
                "Times that a member broke the coherence protocol.",
                &counted.distrusted,
            ),
        ];
        for (name, help, counter) in all {
            registry.show_counter(name, help, &[], counter);
        }
        for (page, histogram) in [("here", &counted.faults_here), ("elsewhere", &counted.faults_elsewhere)] {
            histogram.get_or_init(|| registry.histogram(FAULT, FAULT_HELP, &[("page", page)]));
        }
    }
}
