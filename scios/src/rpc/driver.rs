//! Sessions on a fabric: whatever the fabric delivers goes through the peer's session and straight into its service, on the
//! thread that received it. No lock is held while a service, a listener or a completion runs, or while the fabric sends.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

mod call;
mod peer;
mod responder;

pub use call::CallId;
pub use responder::Responder;

use super::error::{CallError, Violation};
use super::frame::ErrorCode;
use super::service::{Completion, Listener, Registered, Service};
use super::session;
use crate::limits::RPC_DEADLINE_MAX_MS;
use crate::verbs::{DownReason, Event, Fabric, FabricError, Handler};
use crate::{Epoch, Nanos, NodeId};
use peer::Peer;

type Received<'a> = session::Received<'a, Completion>;

/// More than a machine has receiving threads, so that they rarely meet.
const SHARDS: usize = 16;

/// A node's RPC endpoint. `new`, `serve` and `listen`, then `start`.
pub struct Rpc {
    fabric: Arc<dyn Fabric>,
    epoch: AtomicU64,
    peers: [RwLock<HashMap<NodeId, Arc<Peer>>>; SHARDS],
    services: RwLock<Vec<Registered>>,
    listeners: RwLock<Vec<Arc<dyn Listener>>>,
}

impl Rpc {
    pub fn new(fabric: Arc<dyn Fabric>) -> Arc<Self> {
        Arc::new(Self {
            fabric,
            epoch: AtomicU64::new(0),
            peers: std::array::from_fn(|_| RwLock::default()),
            services: RwLock::default(),
            listeners: RwLock::default(),
        })
    }

    /// Gives messages of these kinds to a service. Where ranges overlap, the service that came first has them.
    pub fn serve(&self, kinds: RangeInclusive<u16>, service: Arc<dyn Service>) {
        self.services.write().push(Registered { first: *kinds.start(), last: *kinds.end(), service });
    }

    /// Tells a listener what happens from now on, after those that came before it.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        self.listeners.write().push(listener);
    }

    /// Begins to connect and to receive.
    pub fn start(self: &Arc<Self>) -> Result<(), FabricError> {
        self.fabric.start(Arc::clone(self) as Arc<dyn Handler>)
    }

    /// Stops the fabric, ends every call, and lets go of services and listeners. Not from a receiving thread.
    pub fn stop(&self) {
        self.fabric.stop();
        for shard in &self.peers {
            let peers = std::mem::take(&mut *shard.write());
            for peer in peers.into_values() {
                self.end_calls(&peer, |may_have_run| CallError::Stopped { may_have_run });
            }
        }
        let services = std::mem::take(&mut *self.services.write());
        let listeners = std::mem::take(&mut *self.listeners.write());
        drop((services, listeners));
    }

    pub fn fabric(&self) -> &Arc<dyn Fabric> {
        &self.fabric
    }

    /// The view that messages of this node carry.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// This node has a new view. Messages that waited for it are delivered with the next event of their peer, or
    /// the next tick: not from here, so that this may be called while holding a lock.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.0, Ordering::AcqRel);
        for shard in &self.peers {
            for peer in shard.read().values() {
                peer.set_epoch(epoch);
            }
        }
    }

    /// The peer will not come back: what waits for it ends with `PeerLost`.
    pub fn forget(&self, peer: NodeId) {
        let gone = self.shard(peer).write().remove(&peer);
        if let Some(gone) = gone {
            self.end_calls(&gone, |may_have_run| CallError::PeerLost { may_have_run });
        }
    }

    fn end_calls(&self, peer: &Arc<Peer>, why: impl Fn(bool) -> CallError) {
        let mut out = Vec::new();
        peer.with(|session| session.abandon(why, &mut out));
        self.deliver_all(peer, out);
    }

    fn shard(&self, peer: NodeId) -> &RwLock<HashMap<NodeId, Arc<Peer>>> {
        // Ids are random, so any of their bits spread them. The index is smaller than the length by its mask.
        let [first, ..] = &self.peers;
        self.peers.get(peer.get() as usize % SHARDS).unwrap_or(first)
    }

    fn peer(&self, peer: NodeId) -> Option<Arc<Peer>> {
        self.shard(peer).read().get(&peer).cloned()
    }

    fn peer_or_new(&self, id: NodeId) -> Arc<Peer> {
        let mut shard = self.shard(id).write();
        let new = || Arc::new(Peer::new(id, Arc::clone(&self.fabric), self.epoch()));
        Arc::clone(shard.entry(id).or_insert_with(new))
    }

    fn service(&self, kind: u16) -> Option<Arc<dyn Service>> {
        let services = self.services.read();
        services.iter().find(|s| (s.first..=s.last).contains(&kind)).map(|s| Arc::clone(&s.service))
    }

    fn tell(&self, what: impl Fn(&dyn Listener)) {
        let listeners = self.listeners.read().clone();
        for listener in &listeners {
            what(listener.as_ref());
        }
    }

    fn deliver(&self, peer: &Arc<Peer>, received: Received<'_>) {
        match received {
            Received::Nothing => {}
            Received::Request { id, message } => {
                let responder = Responder::new(Arc::clone(peer), id, message.kind);
                match self.service(message.kind) {
                    Some(service) => service.request(peer.id, message, responder),
                    None => responder.refuse(ErrorCode::UnknownKind, ""),
                }
            }
            Received::OneWay(message) => match self.service(message.kind) {
                Some(service) => service.one_way(peer.id, message),
                None => {
                    tracing::warn!(peer = %peer.id, kind = message.kind, "one-way message of an unknown kind")
                }
            },
            Received::Completed { token, result } => token(result),
            Received::Unwanted { id, kind } => {
                if let Some(service) = self.service(kind) {
                    service.unwanted(peer.id, kind, id);
                }
            }
            Received::OneWayRefused { kind, theirs, code } => {
                self.tell(|listener| listener.one_way_refused(peer.id, kind, theirs, code));
            }
        }
    }

    fn deliver_all(&self, peer: &Arc<Peer>, received: Vec<Received<'static>>) {
        for one in received {
            self.deliver(peer, one);
        }
    }

    fn close(&self, peer: NodeId, violation: &Violation) {
        tracing::warn!(%peer, %violation, "closing the connection: not a message of this protocol");
        self.fabric.disconnect(peer);
    }

    fn on_message(&self, id: NodeId, bytes: &[u8]) {
        let Some(peer) = self.peer(id) else { return };
        let now = self.fabric.now();
        let (received, frames, releases) =
            peer.with(|s| (s.receive(now, bytes), s.has_frames(), s.start_release()));
        match received {
            Ok(received) => self.deliver(&peer, received),
            Err(violation) => self.close(id, &violation),
        }
        if frames {
            peer.pump();
        }
        if releases {
            self.release(&peer, now);
        }
    }

    /// Delivers what has waited for its epoch; this thread was chosen by `start_release`.
    fn release(&self, peer: &Arc<Peer>, now: Nanos) {
        while let Some(received) = peer.with(|session| session.next_released(now)) {
            match received {
                Ok(received) => self.deliver(peer, received),
                Err(violation) => self.close(peer.id, &violation),
            }
        }
        peer.pump();
    }

    fn on_up(&self, id: NodeId, address: &str) {
        let peer = self.peer_or_new(id);
        let now = self.fabric.now();
        peer.with(|session| session.up(now));
        peer.pump();
        self.tell(|listener| listener.up(id, address));
    }

    fn on_down(&self, id: NodeId, reason: &DownReason) {
        if let Some(peer) = self.peer(id) {
            let (now, mut out) = (self.fabric.now(), Vec::new());
            peer.with(|session| session.down(now, &mut out));
            peer.went_down(now);
            self.deliver_all(&peer, out);
        }
        self.tell(|listener| listener.down(id, reason));
    }

    fn on_tick(&self, now: Nanos) {
        for shard in &self.peers {
            let (mut due, mut unused) = (Vec::new(), Vec::new());
            for peer in shard.read().values() {
                if peer.alarm() <= now {
                    due.push(Arc::clone(peer));
                } else if peer.is_unused(now) {
                    unused.push(peer.id);
                }
            }
            for peer in due {
                let mut out = Vec::new();
                let releases = peer.with(|session| {
                    session.tick(now, &mut out);
                    session.start_release()
                });
                self.deliver_all(&peer, out);
                if releases {
                    self.release(&peer, now);
                }
                peer.pump();
            }
            for id in unused {
                // Looked at again under the lock: it may have come up in the meantime.
                let mut shard = shard.write();
                if shard.get(&id).is_some_and(|peer| peer.is_unused(now)) {
                    shard.remove(&id);
                }
            }
        }
        self.tell(|listener| listener.tick(now));
    }
}

/// How long an unused session is kept: until no peer can still be working on a request of it.
const KEEP_UNUSED: std::time::Duration = std::time::Duration::from_millis(RPC_DEADLINE_MAX_MS);

impl Handler for Rpc {
    fn on_event(&self, event: Event<'_>) {
        match event {
            Event::Message { peer, bytes } => self.on_message(peer, bytes),
            Event::Up { peer, address } => self.on_up(peer, address),
            Event::Down { peer, reason } => self.on_down(peer, &reason),
            Event::ConnectFailed { address, reason } => self.tell(|l| l.connect_failed(address, &reason)),
            Event::Written { peer, imm, bytes } => self.tell(|l| l.written(peer, imm, bytes)),
            Event::Done { peer, op, result } => self.tell(|l| l.done(peer, op, result)),
            Event::Writable { peer } => {
                if let Some(peer) = self.peer(peer) {
                    peer.with(session::Session::writable);
                    peer.pump();
                }
                self.tell(|l| l.writable(peer));
            }
            Event::Tick { now } => self.on_tick(now),
        }
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("id", &self.fabric.id())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}
