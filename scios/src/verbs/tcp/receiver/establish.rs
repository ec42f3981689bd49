//! Connections come up and go down: exactly one `Up` and one `Down` of each, with every `Done` in between.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::Receiver;
use super::connections::{Phase, Receiving, Up};
use crate::Nanos;
use crate::limits::LINGER_MS;
use crate::verbs::liveness::Liveness;
use crate::verbs::tcp::address::reachable;
use crate::verbs::tcp::frame::Bye;
use crate::verbs::tcp::link::Link;
use crate::verbs::tcp::stream::{Context, End, Stream, report_placed};
use crate::verbs::{DownReason, Event, OpError};

impl Receiver {
    /// A handshake has succeeded: the peer is up. `rest` are the frames that came along.
    pub(super) fn establish(&mut self, token: u64, rest: &[u8]) {
        let Some(handshake) = self.connections.take_handshake(token) else { return };
        let Some(connection) = self.connections.get_mut(token) else { return };
        let (remote, socket) = (connection.remote, Arc::clone(&connection.socket));
        let Ok(established) = handshake.finish() else {
            self.drop_connection(token);
            return;
        };
        let peer = established.peer.id;
        let address = reachable(&established.peer.address, remote);
        let (sealer, opener) = established.records.unzip();
        let shared = Arc::clone(&self.shared);
        let link = Arc::new(Link::new(peer, token, Arc::clone(&socket), shared, sealer));
        let now = Nanos::monotonic();
        let stream = Stream::new(Arc::clone(&link), socket, opener);
        let Some(slot) = self.connections.get_mut(token) else { return };
        slot.phase = Phase::Up(Up {
            link: Arc::clone(&link),
            address: address.clone(),
            liveness: Liveness::new(self.shared.liveness_timeout_ms, now),
            receiving: Receiving::Here(Box::new(stream)),
            ending: None,
        });
        slot.since = now;
        self.deferred.retain(|deferred| deferred.peer != peer);
        self.shared.peers.write().insert(peer, link);
        tracing::info!(%peer, address, "peer up");
        self.handler.on_event(Event::Up { peer, address: &address });
        self.first_bytes(token, rest);
        self.lend_to_lane(token);
    }

    fn first_bytes(&mut self, token: u64, rest: &[u8]) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Up(Up { receiving: Receiving::Here(stream), .. }) = &mut connection.phase else { return };
        let cx = Context { shared: &self.shared, handler: &*self.handler };
        if let Err(end) = stream.first_bytes(rest, &cx) {
            self.end(token, end);
        }
    }

    /// Takes a peer down.
    pub(super) fn end(&mut self, token: u64, end: End) {
        // Spinning on a connection that only lingers would hold up all others.
        if self.hot == Some(token) {
            self.hot = None;
            self.cool_down();
        }
        let Some(connection) = self.connections.get_mut(token) else { return };
        let Phase::Up(up) = &mut connection.phase else { return };
        let link = Arc::clone(&up.link);
        let (bye, mut reason) = goodbye(end);
        let lane = matches!(up.receiving, Receiving::Lane(_));
        link.close(bye);
        if lane && bye.is_some() {
            // The lane reads on until the peer, who has our goodbye, closes too; then the `Down` comes.
            link.set_ending();
            connection.deadline = Nanos::monotonic() + Duration::from_millis(LINGER_MS);
            up.ending.get_or_insert(reason);
            return;
        }
        if let Some(earlier) = up.ending.take() {
            reason = earlier;
        }
        if bye.is_some() {
            connection.phase = Phase::Lingering { link: Arc::clone(&link) };
            connection.deadline = Nanos::monotonic() + Duration::from_millis(LINGER_MS);
        } else if let Some(gone) = self.drop_connection(token)
            && let Phase::Up(Up { receiving: Receiving::Lane(lane), .. }) = gone.phase
        {
            link.abort();
            self.join_lane(lane);
        }
        self.down(&link, reason);
    }

    fn down(&mut self, link: &Link, reason: DownReason) {
        let peer = link.peer;
        self.shared.peers.write().remove(&peer);
        self.shared.grants.lock().forget_peer(peer);
        let cx = Context { shared: &self.shared, handler: &*self.handler };
        report_placed(link, &cx);
        loop {
            let Some(op) = link.ops().abandon() else { break };
            self.handler.on_event(Event::Done { peer, op, result: Err(OpError::PeerLost) });
        }
        match &reason {
            DownReason::Closed => tracing::info!(%peer, "peer down: {reason}"),
            _ => tracing::warn!(%peer, "peer down: {reason}"),
        }
        self.handler.on_event(Event::Down { peer, reason });
    }

    /// Of a connection that is closed here: throws away what still comes, until its end.
    pub(super) fn receive_rest(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let mut buffer = [0u8; 16 << 10];
        match rustix::net::recv(&*connection.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((got, _)) if got > 0 => {}
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => {
                self.drop_connection(token);
            }
        }
    }

    /// Says goodbye to everybody.
    pub(super) fn begin_stop(&mut self) {
        let now = Nanos::monotonic();
        self.stop_by = Some(now + Duration::from_millis(LINGER_MS));
        // No one is let in any more; fails only when it wasn't watched.
        let _ = self.poller().remove(&self.listener);
        let tokens: Vec<_> = self.connections.iter_mut().map(|(token, _)| token).collect();
        for token in tokens {
            self.end(token, End::Here(DownReason::Closed));
            let lingers = self
                .connections
                .get_mut(token)
                .is_some_and(|connection| matches!(connection.phase, Phase::Lingering { .. } | Phase::Up(_)));
            if !lingers {
                self.drop_connection(token);
            }
        }
    }

    /// Everybody has seen the goodbye, or had time to.
    pub(super) fn has_stopped(&self) -> bool {
        self.stop_by.is_some_and(|by| self.connections.len() == 0 || Nanos::monotonic() >= by)
    }
}

/// What the peer is told, and what the handler is.
fn goodbye(end: End) -> (Option<Bye>, DownReason) {
    match end {
        End::Bye(Bye::Closed) => (None, DownReason::Closed),
        End::Bye(Bye::Denied) => (None, DownReason::Denied),
        End::Bye(Bye::Protocol) => {
            (None, DownReason::Protocol("the peer says that this node broke it".into()))
        }
        End::Lost(what) => (None, DownReason::Lost(what)),
        End::Offence(bye, what) => (Some(bye), DownReason::Protocol(what)),
        End::Here(reason @ DownReason::Closed) => (Some(Bye::Closed), reason),
        End::Here(reason) => (None, reason),
    }
}
