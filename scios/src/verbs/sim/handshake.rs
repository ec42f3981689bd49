//! How two nodes become peers: `Hello`, `Accept`, `Confirm`, with the refusals of the real handshakes, and one connection
//! of the two that remains when both call each other.

use std::io;

use super::call::Told;
use super::closing::Parting;
use super::conn::{Conn, ConnId, End, FRAME_BYTES, Frame, Lane, Side, State};
use super::net::Net;
use super::node::{Life, Node};
use super::queue::Happening;
use crate::Nanos;
use crate::limits::{ADDRESS_BYTES_MAX, HANDSHAKE_TIMEOUT_MS};
use crate::verbs::{ConnectError, DownReason, FabricError};

impl Net {
    pub(super) fn connect(&mut self, node: usize, address: &str) -> Result<(), FabricError> {
        let this = self.nodes.get(node).ok_or(FabricError::Stopped)?;
        if this.life != Life::Running {
            return Err(FabricError::Stopped);
        }
        let host = self.resolve(address)?;
        let peer = host.and_then(|host| self.hosts.get(host)?.node).and_then(|peer| self.nodes.get(peer));
        let up = peer.is_some_and(|peer| this.peers.contains_key(&peer.id));
        if up || this.attempts.contains_key(address) {
            return Ok(());
        }
        let peer_id = peer.map_or(this.id, |peer| peer.id);
        let dialer = End::new(node, this.host, this.id, State::Dialing);
        self.attempts += 1;
        let attempt = self.attempts;
        self.nodes[node].attempts.insert(address.to_string(), attempt);
        let over = Nanos(self.now.0 + HANDSHAKE_TIMEOUT_MS * 1_000_000);
        self.queue.plan(over, Happening::AttemptOver { node, attempt });
        let conn = self.conns.len();
        // Nobody at that port: the machine itself refuses.
        let target = host.unwrap_or(usize::MAX);
        let listener = End::new(usize::MAX, target, peer_id, State::Called);
        self.conns.push(Some(Box::new(Conn::new(address.to_string(), dialer, listener))));
        self.queue.plan(over, Happening::HandshakeOver { conn });
        self.transmit(conn, Side::Dialer, Lane::Requests, FRAME_BYTES, Frame::Hello);
        Ok(())
    }

    /// `None` when the machine exists and nothing ever listened at the port.
    fn resolve(&self, address: &str) -> Result<Option<usize>, FabricError> {
        let bad = || FabricError::Address { address: address.to_string() };
        let (name, port) = address.rsplit_once(':').ok_or_else(bad)?;
        if name.is_empty() || port.parse::<u16>().is_err() || address.len() > ADDRESS_BYTES_MAX {
            return Err(bad());
        }
        if let Some(host) = self.by_address.get(address) {
            return Ok(Some(*host));
        }
        let same_name = |known: &String| known.rsplit_once(':').is_some_and(|(known, _)| known == name);
        if self.by_address.keys().any(same_name) {
            return Ok(None);
        }
        let source = io::Error::new(io::ErrorKind::NotFound, "no such name in this simulation");
        Err(FabricError::Resolve { address: address.to_string(), source })
    }

    pub(super) fn hello(&mut self, conn: ConnId) {
        let Some(connection) = self.conn(conn) else { return };
        let (dialer, host) = (connection.look(Side::Dialer).node, connection.look(Side::Listener).host);
        let listener = self.hosts.get(host).map(|host| host.node);
        let address = connection.address.clone();
        let refusal = match listener {
            None => Some(refused(address)),
            Some(None) => {
                Some(ConnectError::NotSciFs { address, what: "it answered with other bytes".into() })
            }
            Some(Some(node)) if self.nodes[node].life != Life::Running => Some(refused(address)),
            Some(Some(node)) if node == dialer => Some(ConnectError::Itself { address }),
            Some(Some(node)) => mismatch(&self.nodes[dialer], &self.nodes[node], address),
        };
        if let Some(refusal) = refusal {
            return self.reject(conn, Some(refusal));
        }
        let Some(Some(listener)) = listener else { return };
        if self.duplicate(conn, dialer, listener) {
            return self.reject(conn, None);
        }
        let id = self.nodes[listener].id;
        if let Some(end) = self.end(conn, Side::Listener) {
            (end.node, end.id, end.state) = (listener, id, State::Accepted);
        }
        self.transmit(conn, Side::Listener, Lane::Requests, FRAME_BYTES, Frame::Accept);
    }

    fn reject(&mut self, conn: ConnId, why: Option<ConnectError>) {
        if let Some(end) = self.end(conn, Side::Listener) {
            end.state = State::Closed;
        }
        self.transmit(conn, Side::Listener, Lane::Requests, FRAME_BYTES, Frame::Reject(why));
    }

    /// Whether another connection of the two makes this one unnecessary. Those that the caller has given up are closed
    /// here, since it calls again.
    fn duplicate(&mut self, conn: ConnId, dialer: usize, listener: usize) -> bool {
        for other in 0..self.conns.len() {
            if other == conn {
                continue;
            }
            let Some(connection) = self.conn(other) else { continue };
            let called_back = connection.look(Side::Listener).state == State::Called
                && connection.look(Side::Dialer).state == State::Dialing
                && connection.look(Side::Dialer).node == listener
                && Some(&connection.look(Side::Listener).host) == self.nodes.get(dialer).map(|n| &n.host);
            let mine = connection.side_of(listener);
            let (Some(mine), Some(theirs)) = (mine, mine.map(Side::other)) else { continue };
            if called_back {
                // Both called at once. The lower id's call goes on, the other's is answered with this rule too.
                if self.nodes[listener].id < self.nodes[dialer].id {
                    return true;
                }
                continue;
            }
            if connection.look(theirs).node != dialer {
                continue;
            }
            let over = |state| matches!(state, State::Closing | State::Closed);
            match (connection.look(mine).state, connection.look(theirs).state) {
                (state, _) if over(state) => {}
                (_, state) if over(state) => {
                    let lost = DownReason::Lost("replaced by a new connection".into());
                    self.close_now(other, mine, lost, Parting::Reset(DownReason::Closed));
                }
                _ => return true,
            }
        }
        false
    }

    pub(super) fn accepted(&mut self, conn: ConnId) {
        if self.end(conn, Side::Dialer).is_some_and(|end| end.state == State::Dialing) {
            self.transmit(conn, Side::Dialer, Lane::Requests, FRAME_BYTES, Frame::Confirm);
            self.go_up(conn, Side::Dialer);
        }
    }

    pub(super) fn confirmed(&mut self, conn: ConnId) {
        if self.end(conn, Side::Listener).is_some_and(|end| end.state == State::Accepted) {
            self.go_up(conn, Side::Listener);
        }
    }

    fn go_up(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.conn(conn) else { return };
        let (node, other) = (connection.look(side).node, connection.look(side.other()));
        let (peer, host) = (other.id, other.host);
        let Some(address) = self.hosts.get(host).map(|host| host.address.clone()) else { return };
        if let Some(&(old, old_side)) = self.nodes[node].peers.get(&peer) {
            let lost = DownReason::Lost("replaced by a new connection".into());
            self.close_now(old, old_side, lost, Parting::Reset(DownReason::Closed));
        }
        if let Some(end) = self.end(conn, side) {
            end.state = State::Up;
        }
        self.nodes[node].peers.insert(peer, (conn, side));
        self.nodes[node].attempts.remove(&address);
        tracing::debug!(node = %self.nodes[node].id, %peer, now = %self.now, "up");
        self.tell(node, Told::Up { peer, address });
        self.watch(conn, side);
    }

    pub(super) fn rejected(&mut self, conn: ConnId, why: Option<ConnectError>) {
        let Some(end) = self.end(conn, Side::Dialer) else { return };
        if end.state != State::Dialing {
            return;
        }
        end.state = State::Closed;
        let node = end.node;
        match why {
            Some(reason) => self.attempt_failed(conn, node, reason),
            None => self.attempt_superseded(conn, node),
        }
        self.remove_if_over(conn);
    }

    /// The attempt goes on in the other connection; only when that is up already, there is nothing left to wait for.
    fn attempt_superseded(&mut self, conn: ConnId, node: usize) {
        let Some(connection) = self.conn(conn) else { return };
        let peer = self.by_address.get(&connection.address).and_then(|host| self.hosts.get(*host)?.node);
        let Some(peer) = peer.and_then(|peer| self.nodes.get(peer)).map(|peer| peer.id) else { return };
        if self.nodes[node].peers.contains_key(&peer) {
            let address = connection.address.clone();
            self.nodes[node].attempts.remove(&address);
        }
    }

    /// The peer closed in the middle of the handshake.
    pub(super) fn broken_off(&mut self, conn: ConnId, reason: &DownReason) {
        let Some(connection) = self.conn(conn) else { return };
        let (node, address) = (connection.look(Side::Dialer).node, connection.address.clone());
        if let Some(end) = self.end(conn, Side::Dialer) {
            end.state = State::Closed;
        }
        let what = format!("it closed during the handshake ({reason})");
        self.attempt_failed(conn, node, ConnectError::Unreachable { address, what });
        self.remove_if_over(conn);
    }

    fn attempt_failed(&mut self, conn: ConnId, node: usize, reason: ConnectError) {
        let Some(address) = self.conn(conn).map(|c| c.address.clone()) else { return };
        if self.nodes[node].attempts.remove(&address).is_some() {
            self.tell(node, Told::ConnectFailed { address, reason });
        }
    }

    pub(super) fn attempt_over(&mut self, node: usize, attempt: u64) {
        let Some(this) = self.nodes.get_mut(node) else { return };
        let Some(address) = this.attempts.iter().find(|(_, n)| **n == attempt).map(|(a, _)| a.clone()) else {
            return;
        };
        this.attempts.remove(&address);
        let reason = ConnectError::Timeout { address: address.clone(), timeout_ms: HANDSHAKE_TIMEOUT_MS };
        self.tell(node, Told::ConnectFailed { address, reason });
    }

    /// Ends what has not become a connection in time.
    pub(super) fn handshake_over(&mut self, conn: ConnId) {
        let Some(connection) = self.conn(conn) else { return };
        let (dialer, listener) = (connection.look(Side::Dialer).state, connection.look(Side::Listener).state);
        let late = DownReason::Lost("the handshake took too long".into());
        if matches!(listener, State::Called | State::Accepted) {
            self.begin_close(conn, Side::Listener, late.clone(), Parting::Reset(late.clone()));
        }
        if dialer == State::Dialing {
            self.begin_close(conn, Side::Dialer, late.clone(), Parting::Reset(late));
        }
    }
}

fn refused(address: String) -> ConnectError {
    ConnectError::Unreachable { address, what: "connection refused".into() }
}

/// Version before secret: the one is said in the clear, the other is what the rest is proven by.
fn mismatch(dialer: &Node, listener: &Node, address: String) -> Option<ConnectError> {
    let (ours, theirs) = (dialer.config.version, listener.config.version);
    if ours != theirs {
        return Some(ConnectError::Version { address, ours, theirs });
    }
    match (&dialer.config.secret, &listener.config.secret) {
        (None, Some(_)) => Some(ConnectError::SecretRequired { address }),
        (Some(_), None) => Some(ConnectError::SecretUnexpected { address }),
        (Some(ours), Some(theirs)) if ours != theirs => Some(ConnectError::WrongSecret { address }),
        _ => None,
    }
}
