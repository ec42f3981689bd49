//! What programs cost.

use scios::metrics::{Counter, Registry};

#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) faults: Counter,
    pub(super) poisoned: Counter,
    /// Pages that were protected because others want to read them.
    pub(super) protected: Counter,
    /// Faults that were tried again because the process was changing its mappings.
    pub(super) again: Counter,
}

impl Metrics {
    pub(super) fn show(&self, registry: &Registry) {
        let all = [
            ("scifs_program_faults_total", "Page faults of programs in shared memory.", &self.faults),
            ("scifs_program_pages_poisoned_total", "Pages that programs got SIGBUS for.", &self.poisoned),
            (
                "scifs_program_pages_protected_total",
                "Pages that programs may not write to any more.",
                &self.protected,
            ),
            (
                "scifs_program_faults_again_total",
                "Page faults that were served at the second attempt, since the program was changing its mappings.",
                &self.again,
            ),
        ];
        for (name, help, counter) in all {
            registry.show_counter(name, help, &[], counter);
        }
    }
}
