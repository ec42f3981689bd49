//! Every time that membership goes by, derived from one setting. Why these proportions are safe: `LEASES.md`.

use std::time::Duration;

/// Raft counts time in ticks: how many make a heartbeat, and how many of silence the least that makes an election.
pub(super) const HEARTBEAT_TICKS: usize = 2;
pub(super) const ELECTION_TICKS: usize = 12;

/// The clocks of two nodes may run apart by this much: each within [1-ρ, 1+ρ] of real time.
pub const CLOCK_DRIFT_MAX_PERCENT: u32 = 10;

/// The times of one cluster. All nodes must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A member that the leader hasn't heard for this long is declared dead.
    pub failure: Duration,
    /// A member may act for this long after it *sent* the renewal that was granted.
    pub lease: Duration,
    /// How often a member renews.
    pub renew: Duration,
    /// Raft's tick.
    pub tick: Duration,
    /// A voter that confirmed a leader helps nobody else into office for this long.
    pub promise: Duration,
    /// A leader whose office a quorum confirmed may grant leases for this long after it *asked*.
    pub authority: Duration,
    /// A new leader declares nobody dead before this long has passed.
    pub leader_wait: Duration,
}

impl Timing {
    /// From the failure timeout T: leases of 0.8 T, renewed every T/4; voters promise 0.15 T, leaders use 0.12 T of it.
    /// 0.8 = lease / failure = authority / promise is below (1-ρ)/(1+ρ) = 0.818 for a drift ρ of 10 %.
    pub fn new(failure: Duration) -> Self {
        let tick = failure / 80;
        let promise = tick * ELECTION_TICKS as u32;
        Self {
            failure,
            lease: failure * 8 / 10,
            renew: failure / 4,
            tick,
            promise,
            authority: promise * 8 / 10,
            leader_wait: failure,
        }
    }

    /// How often a leader asks its voters to confirm it.
    pub(super) fn confirm(&self) -> Duration {
        self.tick * HEARTBEAT_TICKS as u32
    }

    /// A gap between two ticks that is longer than this means that this node itself stood still.
    pub(super) fn standstill(&self) -> Duration {
        self.tick * ELECTION_TICKS as u32
    }

    /// How long to wait before something that was lost is tried again.
    pub(super) fn retry(&self) -> Duration {
        self.failure / 8
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::new(Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_hold_with_the_drift_that_is_allowed() {
        let slow = 100 - CLOCK_DRIFT_MAX_PERCENT;
        let fast = 100 + CLOCK_DRIFT_MAX_PERCENT;
        for ms in [400, 2_000, 600_000] {
            let t = Timing::new(Duration::from_millis(ms));
            // The holder's clock may be slow and the leader's fast, and the holder must still be first.
            assert!(t.lease * fast <= t.failure * slow);
            assert!(t.authority * fast <= t.promise * slow);
            assert!(t.lease * fast <= t.leader_wait * slow);
            assert!(t.renew * 3 < t.lease);
        }
    }
}
