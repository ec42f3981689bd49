//! How long requests take, by kind: from when a worker has read one to when its answer goes out.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use scios::metrics::{Histogram, Registry};

/// What requests are called, by the kernel's number for them; those that get no answer are left out.
const KINDS: [(u32, &str); 38] = [
    (1, "lookup"),
    (3, "getattr"),
    (4, "setattr"),
    (5, "readlink"),
    (6, "symlink"),
    (8, "mknod"),
    (9, "mkdir"),
    (10, "unlink"),
    (11, "rmdir"),
    (12, "rename"),
    (13, "link"),
    (14, "open"),
    (15, "read"),
    (16, "write"),
    (17, "statfs"),
    (18, "release"),
    (20, "fsync"),
    (21, "setxattr"),
    (22, "getxattr"),
    (23, "listxattr"),
    (24, "removexattr"),
    (25, "flush"),
    (27, "opendir"),
    (28, "readdir"),
    (29, "releasedir"),
    (30, "fsyncdir"),
    (31, "getlk"),
    (32, "setlk"),
    (33, "setlkw"),
    (34, "access"),
    (35, "create"),
    (36, "interrupt"),
    (38, "destroy"),
    (39, "ioctl"),
    (43, "fallocate"),
    (44, "readdirplus"),
    (45, "rename2"),
    (46, "lseek"),
];

const KINDS_END: usize = 47;

/// One histogram for each kind that has come.
pub(super) struct Timings {
    registry: OnceLock<Arc<Registry>>,
    by_number: [OnceLock<Histogram>; KINDS_END],
}

impl Default for Timings {
    fn default() -> Self {
        Self { registry: OnceLock::new(), by_number: [const { OnceLock::new() }; KINDS_END] }
    }
}

/// A request that is measured.
#[derive(Debug)]
pub(super) struct Timing {
    began: Instant,
    histogram: Histogram,
}

impl Timings {
    /// Where they are seen. Nothing is measured without.
    pub(super) fn show(&self, registry: &Arc<Registry>) {
        self.registry.get_or_init(|| Arc::clone(registry));
    }

    /// A request of that kind begins now.
    pub(super) fn begin(&self, opcode: u32) -> Option<Timing> {
        let registry = self.registry.get()?;
        let histogram = self.by_number.get(opcode as usize)?.get_or_init(|| {
            let kind = KINDS.iter().find(|(number, _)| *number == opcode).map_or("other", |(_, kind)| kind);
            registry.histogram(
                "scifs_fuse_request_ns",
                "From when a request of the kernel was read to when its answer went out.",
                &[("kind", kind)],
            )
        });
        Some(Timing { began: Instant::now(), histogram: histogram.clone() })
    }
}

impl fmt::Debug for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timings").finish_non_exhaustive()
    }
}

impl Timing {
    pub(super) fn end(&self) {
        self.histogram.record_duration(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shown_somewhere_is_measured_and_unknown_kinds_share_a_label() {
        let timings = Timings::default();
        assert!(timings.begin(15).is_none());
        let registry = Registry::new();
        timings.show(&registry);
        for opcode in [15, 15, 7] {
            timings.begin(opcode).unwrap().end();
        }
        assert!(timings.begin(u32::MAX).is_none());
        let count = |kind| registry.histogram("scifs_fuse_request_ns", "", &[("kind", kind)]).summary().count;
        assert_eq!((count("read"), count("other"), count("write")), (2, 1, 0));
    }

    #[test]
    fn every_kind_has_its_place() {
        assert!(KINDS.iter().all(|(number, _)| (*number as usize) < KINDS_END));
    }
}
