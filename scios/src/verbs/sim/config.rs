//! How rough the simulated network and its clocks are.

use crate::limits::TICK_MS;

/// The faults that happen by themselves. Partitions, crashes and pauses are done by calls of `SimNet`.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Each frame takes a time drawn from this range, so frames of different peers overtake each other.
    pub delay_min_us: u64,
    pub delay_max_us: u64,
    /// How many of a million frames are lost. A lost frame is sent again, so what is seen of it is delay, also of
    /// everything behind it: the order per peer is kept.
    pub loss_ppm: u32,
    /// How long the loss of a frame goes unnoticed; doubled at each further loss of the same frame.
    pub retransmit_us: u64,
    /// What a link carries; 0 for no limit.
    pub bytes_per_us: u64,
    /// Each node's clock runs faster or slower than true time by up to this much.
    pub drift_ppm_max: u32,
    /// Each node's clock starts up to this late.
    pub skew_ms_max: u64,
    /// Whether a crash is the end of a process, whose kernel resets its connections, or the end of a machine, of which
    /// nobody hears again.
    pub crash_resets: bool,
    /// How often nodes get `Event::Tick`.
    pub tick_ms: u64,
}

impl Default for SimConfig {
    /// A quiet network with good clocks.
    fn default() -> Self {
        Self {
            delay_min_us: 5,
            delay_max_us: 50,
            loss_ppm: 0,
            retransmit_us: 10_000,
            bytes_per_us: 1_000,
            drift_ppm_max: 0,
            skew_ms_max: 0,
            crash_resets: true,
            tick_ms: TICK_MS,
        }
    }
}

impl SimConfig {
    /// Long and very different delays, a loss of 2 %, bad clocks, machines that vanish without a word.
    pub fn rough() -> Self {
        Self {
            delay_min_us: 10,
            delay_max_us: 20_000,
            loss_ppm: 20_000,
            retransmit_us: 50_000,
            bytes_per_us: 100,
            drift_ppm_max: 500,
            skew_ms_max: 10_000,
            crash_resets: false,
            tick_ms: TICK_MS,
        }
    }
}
