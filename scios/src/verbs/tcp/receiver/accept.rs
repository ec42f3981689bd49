//! Connections begin: accepted ones and those that this node makes.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::connections::{Connection, Phase};
use super::{LISTENER, Receiver};
use crate::Nanos;
use crate::auth::Handshake;
use crate::limits::{CONNECTIONS_MAX, HANDSHAKE_TIMEOUT_MS, HANDSHAKES_MAX};
use crate::verbs::ConnectError;

const ACCEPTS_PER_EVENT: usize = 16;

impl Receiver {
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_PER_EVENT {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::acceptfrom_with(&self.listener, flags) {
                Ok((socket, remote)) => {
                    let remote = remote.and_then(|remote| SocketAddr::try_from(remote).ok());
                    self.accepted(socket, remote);
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.pause_listening();
                    return;
                }
                // The one who connected is gone again.
                Err(_) => {}
            }
        }
    }

    /// Without a free file descriptor the listener would report the same connection for ever. The next sweep goes on.
    fn pause_listening(&mut self) {
        tracing::error!("cannot accept connections: out of file descriptors or memory; raise ulimit -n");
        self.listening = self.poller().pause(&self.listener, LISTENER).is_err();
    }

    pub(super) fn resume_listening(&mut self) {
        if !self.listening && self.stop_by.is_none() {
            self.listening = self.poller().watch_writable(&self.listener, LISTENER, false).is_ok();
        }
    }

    fn accepted(&mut self, socket: OwnedFd, remote: Option<SocketAddr>) {
        if self.connections.len() >= CONNECTIONS_MAX {
            tracing::warn!(?remote, max = CONNECTIONS_MAX, "refusing a connection: there are too many");
            return;
        }
        let handshake = Box::new(Handshake::responder(&self.shared.local));
        let phase = Phase::Handshaking { handshake, outgoing: None, answered: None };
        if let Ok(token) = self.adopt(socket, remote, phase) {
            self.strangers.push_back(token);
            self.evict_strangers();
        }
    }

    /// The oldest stranger makes room for a new one, so that silent connections can't keep others out.
    fn evict_strangers(&mut self) {
        if self.strangers.len() <= HANDSHAKES_MAX {
            return;
        }
        let Self { strangers, connections, .. } = self;
        let is_stranger = |token: &u64| {
            connections
                .get_mut(*token)
                .is_some_and(|c| matches!(c.phase, Phase::Handshaking { outgoing: None, .. }))
        };
        strangers.retain(is_stranger);
        while self.strangers.len() > HANDSHAKES_MAX {
            let Some(oldest) = self.strangers.pop_front() else { return };
            if let Some(connection) = self.drop_connection(oldest) {
                tracing::warn!(
                    remote = ?connection.remote, max = HANDSHAKES_MAX,
                    "closing the oldest connection that has not authenticated: there are too many"
                );
            }
        }
    }

    /// Takes a socket into the table and the poller.
    fn adopt(&mut self, socket: OwnedFd, remote: Option<SocketAddr>, phase: Phase) -> Result<u64, Errno> {
        // Fails only for sockets that are broken already; they are found out soon.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        let socket = Arc::new(socket);
        let now = Nanos::monotonic();
        let deadline = now + Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
        let connecting = matches!(phase, Phase::Connecting { .. });
        let connection = Connection { socket: Arc::clone(&socket), remote, deadline, since: now, phase };
        let token = self.connections.insert(connection);
        self.poller().add(&*socket, token, connecting).inspect_err(|error| {
            tracing::error!(%error, "epoll_ctl failed; closing a connection");
            self.connections.remove(token);
        })?;
        Ok(token)
    }

    pub(super) fn connect(&mut self, address: String, resolved: Vec<SocketAddr>) {
        if self.stop_by.is_none() && !self.is_up_at(&address) {
            self.connect_next(address, resolved.into_iter(), Errno::ADDRNOTAVAIL);
        }
    }

    /// Connecting to a peer that is up does nothing; where the address is the one that it announced, not even that.
    fn is_up_at(&mut self, address: &str) -> bool {
        self.connections.iter_mut().any(|(_, connection)| match &connection.phase {
            Phase::Up(up) => up.address == address && up.ending.is_none(),
            _ => false,
        })
    }

    /// Tries the next of the addresses; `error` is what the one before gave.
    pub(super) fn connect_next(
        &mut self,
        address: String,
        mut others: std::vec::IntoIter<SocketAddr>,
        mut error: Errno,
    ) {
        while let Some(remote) = others.next() {
            if self.connections.len() >= CONNECTIONS_MAX {
                error = Errno::MFILE;
                break;
            }
            match begin_connect(&remote) {
                Ok(socket) => {
                    let phase = Phase::Connecting { address: address.clone(), others: others.clone() };
                    match self.adopt(socket, Some(remote), phase) {
                        Ok(_) => return,
                        Err(refused) => error = refused,
                    }
                }
                Err(refused) => error = refused,
            }
        }
        let what = std::io::Error::from(error).to_string();
        self.connect_failed(&address, ConnectError::Unreachable { address: address.clone(), what });
    }

    /// The kernel has finished connecting, one way or the other.
    pub(super) fn connected(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let outcome = rustix::net::sockopt::socket_error(&*connection.socket);
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) | Err(error) => Some(error),
        };
        if let Some(error) = error {
            if let Some(Connection { phase: Phase::Connecting { address, others }, .. }) =
                self.drop_connection(token)
            {
                self.connect_next(address, others, error);
            }
            return;
        }
        let Phase::Connecting { address, .. } = &mut connection.phase else { return };
        let address = std::mem::take(address);
        match Handshake::initiator(&self.shared.local) {
            Ok(handshake) => {
                let handshake = Box::new(handshake);
                connection.phase = Phase::Handshaking { handshake, outgoing: Some(address), answered: None };
                let _ = self.shared.poller.watch_writable(&*connection.socket, token, false);
                self.send_handshake(token);
            }
            Err(error) => {
                self.drop_connection(token);
                let reason = super::handshake::connect_error(&address, error);
                self.connect_failed(&address, reason);
            }
        }
    }
}

fn begin_connect(remote: &SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, remote) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
