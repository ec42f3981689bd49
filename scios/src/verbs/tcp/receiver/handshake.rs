//! Handshakes over sockets, and what to do when two nodes end up with two connections.
//!
//! # Duplicates
//!
//! The responder decides, and each side keeps at most one connection:
//! - It is *up* with the peer already. The peer says in its Confirm whether it thinks so too. If it doesn't, and the
//!   old connection was up before this handshake's Answer left, then the old one is dead and not yet found out: the
//!   new one takes its place. Otherwise the new one is a duplicate.
//! - Both connect at once. Each is responder of one handshake and waits for the verdict of the other: the connection
//!   that the node with the lower id began is taken, the other is a duplicate.
//! - A node that already waits for a peer's verdict begins no second wait for the same peer.
//!
//! A connect that ends as a duplicate is kept in mind until the other connection is up, or else fails.

use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::connections::Phase;
use super::{Deferred, Receiver};
use crate::auth::{HandshakeError, Progress};
use crate::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT_MS};
use crate::verbs::tcp::stream::End;
use crate::verbs::{ConnectError, DownReason};
use crate::{Nanos, NodeId};

/// What the driver of a handshake found out.
enum Outcome {
    Progress(Progress),
    Refused(HandshakeError),
    Lost(String),
}

impl Receiver {
    pub(super) fn receive_handshake(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let mut buffer = [0u8; 2 * HANDSHAKE_BYTES_MAX];
        let flags = RecvFlags::DONTWAIT;
        match rustix::net::recv(&*connection.socket, &mut buffer, flags) {
            Ok((got, _)) if got > 0 => {
                self.advance_handshake(token, buffer.get(..got).unwrap_or_default());
            }
            Ok(_) => self.handshake_ended(token, Outcome::Lost("it closed the connection".into())),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => self.handshake_ended(token, Outcome::Lost(error.to_string())),
        }
    }

    fn advance_handshake(&mut self, token: u64, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(connection) = self.connections.get_mut(token) else { return };
            let Phase::Handshaking { handshake, answered, .. } = &mut connection.phase else { return };
            let outcome = handshake.receive(rest);
            if outcome == Ok((rest.len(), Progress::Waiting)) {
                return;
            }
            if let Ok((_, Progress::Answered)) = outcome {
                *answered = Some(Nanos::monotonic());
            }
            self.send_handshake(token);
            match outcome {
                Ok((taken, progress)) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    if let Progress::Accepted | Progress::Confirmed { .. } = progress {
                        self.decide(token, progress, rest);
                        return;
                    }
                    self.handshake_ended(token, Outcome::Progress(progress));
                }
                Err(error) => {
                    self.handshake_ended(token, Outcome::Refused(error));
                    return;
                }
            }
        }
    }

    fn decide(&mut self, token: u64, progress: Progress, rest: &[u8]) {
        match progress {
            Progress::Confirmed { connected } => self.judge(token, connected, rest),
            _ => self.establish(token, rest),
        }
    }

    /// Everything but bringing it up.
    fn handshake_ended(&mut self, token: u64, outcome: Outcome) {
        match outcome {
            Outcome::Progress(Progress::Identified) => self.confirm(token),
            Outcome::Progress(Progress::Duplicate) => self.defer(token),
            Outcome::Progress(_) => {}
            Outcome::Refused(error) => self.handshake_failed(
                token,
                |address| connect_error(address, error.clone()),
                &error.to_string(),
            ),
            Outcome::Lost(what) => self.handshake_failed(
                token,
                |address| ConnectError::NotSciFs { address: address.into(), what: what.clone() },
                &what,
            ),
        }
    }

    /// Sends what the handshake has to say. It is short, so a kernel that doesn't take it at once is as good as gone.
    pub(super) fn send_handshake(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Handshaking { handshake, .. } = &mut connection.phase else { return };
        let output = handshake.take_output();
        if output.is_empty() {
            return;
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if rustix::net::send(&*connection.socket, &output, flags) != Ok(output.len()) {
            tracing::debug!(remote = ?connection.remote, "the handshake could not be sent");
        }
    }

    /// Initiator: the peer is known; asks it for its verdict, unless that is being asked already.
    fn confirm(&mut self, token: u64) {
        let Some(peer) = self.peer_of(token) else { return };
        if self.awaits_verdict_of(peer, token) {
            self.defer(token);
            return;
        }
        let connected = self.shared.link(peer).is_some();
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Handshaking { handshake, answered, .. } = &mut connection.phase else { return };
        *answered = Some(Nanos::monotonic());
        if let Err(error) = handshake.confirm(connected) {
            self.handshake_ended(token, Outcome::Refused(error));
            return;
        }
        self.send_handshake(token);
    }

    fn peer_of(&mut self, token: u64) -> Option<NodeId> {
        match &self.connections.get_mut(token)?.phase {
            Phase::Handshaking { handshake, .. } => handshake.peer().map(|peer| peer.id),
            _ => None,
        }
    }

    /// Whether another handshake that this node began with `peer` has come as far as its Confirm.
    fn awaits_verdict_of(&mut self, peer: NodeId, except: u64) -> bool {
        self.connections.iter_mut().any(|(token, connection)| match &connection.phase {
            Phase::Handshaking { handshake, outgoing: Some(_), answered: Some(_) } => {
                token != except && handshake.peer().is_some_and(|known| known.id == peer)
            }
            _ => false,
        })
    }

    /// Responder: takes the connection or not; the rules are at the top of this file.
    fn judge(&mut self, token: u64, connected: bool, rest: &[u8]) {
        let Some(peer) = self.peer_of(token) else { return };
        let up = self.shared.link(peer).map(|link| link.token);
        let accept = match up {
            Some(old) => !connected && self.is_stale(old, token),
            None => !self.awaits_verdict_of(peer, token) || peer < self.shared.local.id,
        };
        if let Some(old) = up.filter(|_| accept) {
            let reason = DownReason::Lost("the peer has lost it and connects anew".into());
            self.end(old, End::Here(reason));
        }
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Handshaking { handshake, .. } = &mut connection.phase else { return };
        if let Err(error) = handshake.verdict(accept) {
            self.handshake_ended(token, Outcome::Refused(error));
            return;
        }
        self.send_handshake(token);
        if accept {
            self.establish(token, rest);
        } else {
            tracing::debug!(%peer, "a second connection is not needed");
            self.drop_connection(token);
        }
    }

    fn is_stale(&mut self, old: u64, new: u64) -> bool {
        let answered = match self.connections.get_mut(new).map(|connection| &connection.phase) {
            Some(Phase::Handshaking { answered, .. }) => *answered,
            _ => None,
        };
        let since = self.connections.get_mut(old).map(|connection| connection.since);
        matches!((since, answered), (Some(since), Some(answered)) if since < answered)
    }

    /// The connect's peer has, or will have, another connection with this node. Bringing that up is what was asked.
    fn defer(&mut self, token: u64) {
        let peer = self.peer_of(token);
        let Some(connection) = self.drop_connection(token) else { return };
        let Phase::Handshaking { outgoing: Some(address), .. } = connection.phase else { return };
        if let Some(peer) = peer
            && self.shared.link(peer).is_none()
        {
            let deadline = Nanos::monotonic() + Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
            self.deferred.push(Deferred { peer, address, deadline });
        }
    }

    fn handshake_failed(&mut self, token: u64, reason: impl Fn(&str) -> ConnectError, what: &str) {
        let Some(connection) = self.drop_connection(token) else { return };
        let Phase::Handshaking { outgoing, .. } = connection.phase else { return };
        match outgoing {
            Some(address) => self.connect_failed(&address, reason(&address)),
            None => {
                tracing::warn!(remote = ?connection.remote, what, "a connection did not authenticate; closed")
            }
        }
    }
}

pub(super) fn connect_error(address: &str, error: HandshakeError) -> ConnectError {
    let address = address.to_owned();
    match error {
        HandshakeError::Version { ours, theirs } => ConnectError::Version { address, ours, theirs },
        HandshakeError::WrongSecret => ConnectError::WrongSecret { address },
        HandshakeError::SecretRequired => ConnectError::SecretRequired { address },
        HandshakeError::SecretUnexpected => ConnectError::SecretUnexpected { address },
        HandshakeError::Itself => ConnectError::Itself { address },
        HandshakeError::NotSciFs(what) => ConnectError::NotSciFs { address, what: what.into() },
        error @ (HandshakeError::OutOfTurn(_) | HandshakeError::Unconfirmed | HandshakeError::Crypto(_)) => {
            ConnectError::NotSciFs { address, what: error.to_string() }
        }
    }
}
