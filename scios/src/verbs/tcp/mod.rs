//! The fabric over TCP: the embedded default, needs no set-up.
//!
//! - [`frame`], [`inbox`]: the bytes and their decoder, pure. `WIRE.md` draws them.
//! - `link`: sending, on the callers' own threads; `queue`, `ops`: what waits there.
//! - `receiver`: the thread that accepts, receives and calls the handler; `stream`: one connection of it.
//! - `grants`: who may reach what.

mod address;
mod fill;
pub mod frame;
mod grants;
pub mod inbox;
mod link;
mod ops;
mod poll;
mod queue;
mod receiver;
mod sealed;
mod shared;
mod stream;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::frame::{Header, Target};
use self::link::{Link, Parts, body_bytes};
use self::ops::Expect;
use self::receiver::Receiver;
use self::shared::{Command, Shared};
use super::{
    Fabric, FabricConfig, FabricError, Handler, OpId, Operation, RemoteKey, RemoteSlice, Rights, SendError,
};
use crate::auth::Local;
use crate::limits::{GATHER_SLICES_MAX, GRANTS_MAX, MESSAGE_BYTES_MAX, PLACED_BYTES_MAX};
use crate::memory::{Region, RegionId, RegionSlice};
use crate::{Nanos, NodeId};

/// See the module.
#[derive(Debug)]
pub struct TcpFabric {
    shared: Arc<Shared>,
    /// Until `start`.
    listener: Mutex<Option<TcpListener>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TcpFabric {
    /// Binds at once; nothing is accepted before `start`.
    pub fn new(config: FabricConfig) -> Result<Arc<Self>, FabricError> {
        let (listener, address) = address::listen(&config.listen, config.secret.is_some())?;
        if config.secret.is_none() {
            tracing::warn!(
                address,
                "no secret is set: traffic is not encrypted, and only processes of this machine can connect"
            );
        }
        let poller = poll::Poller::new().map_err(system("creating an epoll"))?;
        let local = Local::new(config.id, address, config.version, config.secret.as_ref());
        let shared = Shared {
            local: Arc::new(local),
            spin_us: config.spin_us,
            liveness_timeout_ms: config.liveness_timeout_ms,
            poller,
            peers: Default::default(),
            grants: Default::default(),
            commands: Default::default(),
            stopping: Default::default(),
        };
        let listener = Mutex::new(Some(listener));
        Ok(Arc::new(Self { shared: Arc::new(shared), listener, thread: Mutex::new(None) }))
    }

    fn is_stopped(&self) -> bool {
        self.shared.stopping.load(Ordering::SeqCst)
    }

    fn link(&self, peer: NodeId) -> Result<Arc<Link>, SendError> {
        self.shared.link(peer).ok_or(SendError::NotConnected(peer))
    }
}

fn system(operation: &'static str) -> impl Fn(rustix::io::Errno) -> FabricError {
    move |error| FabricError::System { operation, source: error.into() }
}

impl Fabric for TcpFabric {
    fn id(&self) -> NodeId {
        self.shared.local.id
    }

    fn address(&self) -> String {
        self.shared.local.address.clone()
    }

    fn now(&self) -> Nanos {
        Nanos::monotonic()
    }

    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        let mut thread = self.thread.lock();
        let listener = self.listener.lock().take().ok_or(FabricError::Stopped)?;
        let receiver = Receiver::new(Arc::clone(&self.shared), handler, listener)
            .map_err(system("watching the listener"))?;
        let builder = std::thread::Builder::new().name(format!("scifs-tcp-{:04x}", self.id().get() as u16));
        let spawned = builder
            .spawn(move || receiver.run())
            .map_err(|source| FabricError::System { operation: "starting the receiving thread", source })?;
        *thread = Some(spawned);
        Ok(())
    }

    fn connect(&self, address: &str) -> Result<(), FabricError> {
        if self.is_stopped() {
            return Err(FabricError::Stopped);
        }
        let resolved = address::resolve(address)?;
        self.shared.command(Command::Connect { address: address.into(), resolved });
        Ok(())
    }

    fn disconnect(&self, peer: NodeId) {
        self.shared.command(Command::Disconnect(peer));
    }

    /// Any memory is as good as any other here.
    fn register(&self, _region: &Arc<Region>) -> Result<(), FabricError> {
        Ok(())
    }

    fn forget(&self, region: RegionId) {
        self.shared.grants.lock().forget_region(region);
    }

    fn grant(
        &self,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> Result<RemoteKey, FabricError> {
        loop {
            let key = random_key()?;
            let mut grants = self.shared.grants.lock();
            // Looked up under the lock that a peer's end takes, so no grant outlives its peer.
            if !self.shared.peers.read().contains_key(&peer) {
                return Err(FabricError::NotConnected(peer));
            }
            if grants.is_full() {
                return Err(FabricError::Grants { max: GRANTS_MAX });
            }
            if grants.insert(key, peer, slice.clone(), rights, until) {
                return Ok(RemoteKey { key, base: 0, bytes: slice.bytes() as u64 });
            }
        }
    }

    fn revoke(&self, peer: NodeId, key: &RemoteKey) {
        self.shared.grants.lock().revoke(peer, key.key);
    }

    fn send(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        let link = self.link(peer)?;
        let bytes = head.len().saturating_add(gathered(body)?);
        let header = Header::Message { bytes: within(bytes, MESSAGE_BYTES_MAX)? };
        link.send(&header, Parts { head, body })
    }

    fn post(&self, peer: NodeId, op: OpId, operation: Operation<'_>) -> Result<(), SendError> {
        let link = self.link(peer)?;
        match operation {
            Operation::Read { from, into } => {
                let bytes = placed(into.bytes(), &from)?;
                let target = target(&from);
                let header = |tag| Header::Read { tag, target, bytes };
                link.request(op, Expect::Data(into), Parts::NONE, header)
            }
            Operation::Write { from, into } => {
                let bytes = placed(gathered(from)?, &into)?;
                let target = target(&into);
                let header = |tag| Header::Write { tag, target, bytes };
                link.request(op, Expect::Done, Parts { head: &[], body: from }, header)
            }
            Operation::WriteImm { from, into, imm } => {
                let bytes = placed(gathered(from)?, &into)?;
                let target = target(&into);
                let header = |tag| Header::WriteImm { tag, target, bytes, imm };
                link.request(op, Expect::Done, Parts { head: &[], body: from }, header)
            }
            Operation::Place { head, from, into } => {
                let bytes = placed(gathered(from)?, &into)?;
                let head_bytes = within(head.len(), MESSAGE_BYTES_MAX)?;
                let header = Header::Place { head_bytes, target: target(&into), bytes };
                let first = link.place(op, &header, Parts { head, body: from })?;
                // A lane that is at it looks by itself.
                if first && !receiver::note_place(link.token) {
                    self.shared.command(Command::Placed(link));
                }
                Ok(())
            }
            Operation::CompareAndSwap { at, expected, new } => {
                let target = word(&at)?;
                let header = |tag| Header::CompareAndSwap { tag, target, expected, new };
                link.request(op, Expect::Done, Parts::NONE, header)
            }
            Operation::FetchAdd { at, add } => {
                let target = word(&at)?;
                let header = |tag| Header::FetchAdd { tag, target, add };
                link.request(op, Expect::Done, Parts::NONE, header)
            }
        }
    }

    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.listener.lock().take();
        self.shared.poller.wake();
        // The last owner may be a receiving thread itself, which can't wait for its own end.
        if receiver::is_fabric_thread() {
            return;
        }
        // Locked until it has ended: whoever else stops at the same time returns no earlier.
        let mut owned = self.thread.lock();
        if let Some(thread) = owned.take()
            && thread.join().is_err()
        {
            tracing::error!("a handler panicked on the receiving thread");
        }
    }
}

impl Drop for TcpFabric {
    fn drop(&mut self) {
        self.stop();
    }
}

fn random_key() -> Result<u64, FabricError> {
    let mut key = [0u8; 8];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut key[..], flags).map_err(system("drawing a random key"))?;
    Ok(u64::from_le_bytes(key))
}

fn target(slice: &RemoteSlice) -> Target {
    Target { key: slice.key.key, at: slice.key.base.wrapping_add(slice.offset) }
}

/// An atomic's target.
fn word(at: &RemoteSlice) -> Result<Target, SendError> {
    if at.bytes != 8 || !at.offset.is_multiple_of(8) {
        return Err(SendError::Shape);
    }
    Ok(target(at))
}

fn gathered(slices: &[RegionSlice]) -> Result<usize, SendError> {
    if slices.len() > GATHER_SLICES_MAX {
        return Err(SendError::Shape);
    }
    Ok(body_bytes(slices))
}

fn placed(local_bytes: usize, remote: &RemoteSlice) -> Result<u32, SendError> {
    let bytes = within(local_bytes, PLACED_BYTES_MAX)?;
    if local_bytes == remote.bytes { Ok(bytes) } else { Err(SendError::Shape) }
}

fn within(bytes: usize, max: usize) -> Result<u32, SendError> {
    match u32::try_from(bytes) {
        Ok(fits) if bytes <= max => Ok(fits),
        _ => Err(SendError::TooLong { bytes, max }),
    }
}

#[cfg(test)]
mod tests;
