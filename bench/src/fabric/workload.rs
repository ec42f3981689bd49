//! What is measured.

use crate::sweep::PAGE_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// 64 bytes there and this many back.
    RoundTrip { answer_bytes: usize },
    /// Messages of this size one way, as fast as they are taken.
    Stream { message_bytes: usize },
}

pub(super) const REQUEST_BYTES: usize = 64;

pub(super) const WORKLOADS: [Workload; 4] = [
    Workload::RoundTrip { answer_bytes: REQUEST_BYTES },
    Workload::RoundTrip { answer_bytes: PAGE_BYTES },
    Workload::Stream { message_bytes: PAGE_BYTES },
    Workload::Stream { message_bytes: 16 * PAGE_BYTES },
];

/// The first round trips and messages find cold caches and closed windows.
pub(super) const WARM_UP: usize = 500;

const ROUND_TRIPS: usize = 10_000;
const STREAM_BYTES: usize = 512 << 20;

impl Workload {
    pub(super) fn name(self) -> String {
        match self {
            Self::RoundTrip { answer_bytes } => format!("round trip 64 B, {answer_bytes} B"),
            Self::Stream { message_bytes } => format!("stream of {message_bytes} B"),
        }
    }

    pub(super) fn repeats(self, effort: u32) -> usize {
        let usual = match self {
            Self::RoundTrip { .. } => ROUND_TRIPS,
            Self::Stream { message_bytes } => STREAM_BYTES / message_bytes,
        };
        (usual * effort as usize / 100).max(10)
    }
}
