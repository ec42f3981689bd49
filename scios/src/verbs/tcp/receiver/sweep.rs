//! What happens by the clock: ticks, pings, peers that fell silent, handshakes that take too long.

use std::time::Duration;

use super::Receiver;
use super::connections::{Connection, Phase};
use crate::Nanos;
use crate::limits::{HANDSHAKE_TIMEOUT_MS, TICK_MS};
use crate::verbs::liveness::Verdict;
use crate::verbs::tcp::stream::End;
use crate::verbs::{ConnectError, DownReason, Event};

/// The table is gone through this often within a liveness timeout.
const SWEEPS_PER_TIMEOUT: u64 = 16;

/// But never less often than this, for the handshakes' sake.
const SWEEP_MS_MAX: u64 = 100;

/// What the sweep finds.
enum Finding {
    Silent,
    Late,
}

impl Receiver {
    pub(super) fn tick(&mut self) {
        let mut expirations = [0u8; 8];
        // Empty when it was read already; the next tick comes anyway.
        let _ = rustix::io::read(&self.timer, &mut expirations);
        let now = Nanos::monotonic();
        self.shared.grants.lock().expire(now);
        let every_ms = (self.shared.liveness_timeout_ms / SWEEPS_PER_TIMEOUT).clamp(TICK_MS, SWEEP_MS_MAX);
        if now.since(self.swept) >= Duration::from_millis(every_ms) {
            self.swept = now;
            self.sweep(now);
        }
        if self.stop_by.is_none() {
            self.handler.on_event(Event::Tick { now });
        }
    }

    fn sweep(&mut self, now: Nanos) {
        self.resume_listening();
        let mut findings = Vec::new();
        for (token, connection) in self.connections.iter_mut() {
            if let Some(finding) = look_at(connection, now) {
                findings.push((token, finding));
            }
        }
        for (token, finding) in findings {
            match finding {
                Finding::Silent => {
                    let timeout_ms = self.shared.liveness_timeout_ms;
                    self.end(token, End::Here(DownReason::Silent { timeout_ms }));
                }
                Finding::Late => self.give_up(token),
            }
        }
        let late: Vec<_> = self.deferred.extract_if(.., |deferred| now >= deferred.deadline).collect();
        for deferred in late {
            self.timed_out(&deferred.address);
        }
    }

    fn give_up(&mut self, token: u64) {
        let Some(connection) = self.drop_connection(token) else { return };
        match connection.phase {
            Phase::Connecting { address, others } => {
                self.connect_next(address, others, rustix::io::Errno::TIMEDOUT);
            }
            Phase::Handshaking { outgoing: Some(address), .. } => self.timed_out(&address),
            Phase::Handshaking { outgoing: None, .. } => {
                let remote = connection.remote;
                tracing::warn!(
                    ?remote,
                    HANDSHAKE_TIMEOUT_MS,
                    "a connection did not authenticate in time; closed"
                );
            }
            Phase::Up(_) | Phase::Lingering { .. } | Phase::Over => {}
        }
    }

    fn timed_out(&self, address: &str) {
        let timeout_ms = HANDSHAKE_TIMEOUT_MS;
        self.connect_failed(address, ConnectError::Timeout { address: address.into(), timeout_ms });
    }
}

fn look_at(connection: &mut Connection, now: Nanos) -> Option<Finding> {
    let late = now >= connection.deadline;
    let up = match &mut connection.phase {
        Phase::Up(up) if up.ending.is_none() => up,
        Phase::Up(up) => {
            // The lane ends now, and says so.
            if late {
                up.link.abort();
            }
            return None;
        }
        _ => return late.then_some(Finding::Late),
    };
    if up.link.take_heard() {
        up.liveness.heard(now);
    }
    if up.link.take_sent() {
        up.liveness.sent(now);
    }
    match up.liveness.check(now) {
        Verdict::Fine => None,
        Verdict::Silent => Some(Finding::Silent),
        Verdict::Ping => {
            up.link.ping();
            up.liveness.sent(now);
            None
        }
    }
}
