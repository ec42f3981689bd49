//! When to ping a peer, and when to give it up. Pure; every backend with real time in it uses this, because the
//! networks below notice a dead peer late or never.
//!
//! Each side makes itself heard: a side that had nothing to send for a quarter of the timeout pings. Nobody answers a
//! ping, so two idle peers cost two small messages per quarter, and three in a row may be lost or late.

use std::time::Duration;

use crate::Nanos;

/// How many pings fit into one timeout.
const PINGS_PER_TIMEOUT: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Nothing was sent for a while: send a ping, and say so with `sent`.
    Ping,
    /// The peer is gone.
    Silent,
}

#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    timeout: Duration,
    heard: Nanos,
    sent: Nanos,
}

impl Liveness {
    pub fn new(timeout_ms: u64, now: Nanos) -> Self {
        Self { timeout: Duration::from_millis(timeout_ms), heard: now, sent: now }
    }

    /// Any bytes of the peer have arrived.
    pub fn heard(&mut self, now: Nanos) {
        self.heard = self.heard.max(now);
    }

    /// Anything was sent to the peer.
    pub fn sent(&mut self, now: Nanos) {
        self.sent = self.sent.max(now);
    }

    pub fn check(&self, now: Nanos) -> Verdict {
        if now.since(self.heard) >= self.timeout {
            Verdict::Silent
        } else if now.since(self.sent) >= self.timeout / PINGS_PER_TIMEOUT {
            Verdict::Ping
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn an_idle_side_pings_four_times_per_timeout() {
        let mut liveness = Liveness::new(1000, ms(0));
        let mut pings = 0;
        for now in 0..1000 {
            liveness.heard(ms(now));
            if liveness.check(ms(now)) == Verdict::Ping {
                pings += 1;
                liveness.sent(ms(now));
            }
        }
        assert_eq!(pings, 3, "at 250, 500 and 750 ms");
    }

    #[test]
    fn sending_alone_does_not_make_a_silent_peer_alive() {
        let mut liveness = Liveness::new(1000, ms(0));
        liveness.heard(ms(10));
        liveness.sent(ms(1009));
        assert_eq!(liveness.check(ms(1009)), Verdict::Fine);
        assert_eq!(liveness.check(ms(1010)), Verdict::Silent);
    }

    #[test]
    fn two_clocks_that_never_stop_keep_each_other_alive() {
        let mut sides = [Liveness::new(400, ms(0)), Liveness::new(400, ms(0))];
        for now in 0..4000 {
            for from in 0..2 {
                assert_ne!(sides[from].check(ms(now)), Verdict::Silent);
                if sides[from].check(ms(now)) == Verdict::Ping {
                    sides[from].sent(ms(now));
                    sides[1 - from].heard(ms(now + 1));
                }
            }
        }
    }
}
