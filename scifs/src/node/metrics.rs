//! What pages count.

use scios::metrics::{Counter, Registry};

use super::pages::Pages;

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
}

impl Pages {
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
    }
}
