//! The fabric over RDMA verbs: reliable connections on a card, or on soft-RoCE.
//!
//! - `ffi`: libibverbs behind safe types; the only `unsafe` here.
//! - [`adapter`]: the device with what all connections share; `slots` and `cache`: registered memory.
//! - `control`, `inbox`, `lifecycle`: connections are made and watched over a TCP fabric, which authenticates (and with a
//!   secret encrypts) what the two ends tell each other, and whose liveness decides when a peer is gone: a queue pair with
//!   a dead peer may show nothing for longer than ten seconds.
//! - `sending`, `posting`, `job`, `link`, `credit`: messages and operations on their way to a queue pair.
//! - `granting`, `grants`: a peer reaches memory through a memory window bound to its queue pair, and through nothing else.
//! - `receiver`: the thread that takes completions and calls the handler.
//!
//! Messages are SENDs into buffers of one shared receive queue; a `Place` is a WRITE and a SEND posted together.

mod adapter;
mod cache;
mod control;
mod credit;
pub mod ffi;
mod granting;
mod grants;
mod inbox;
mod job;
mod lifecycle;
mod link;
mod posting;
mod receiver;
mod sending;
mod shared;
mod slots;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::adapter::Adapter;
use self::ffi::VerbsError;
use self::granting::fabric_error;
use self::inbox::{ControlHandler, Inbox, Input};
use self::receiver::Receiver;
use self::shared::Shared;
use super::tcp::TcpFabric;
use super::{Fabric, FabricConfig, FabricError, Handler, OpId, Operation, RemoteKey, Rights, SendError};
use crate::limits::CONNECTIONS_MAX;
use crate::memory::{Region, RegionId, RegionSlice};
use crate::{Nanos, NodeId};

/// A node's connection to its peers over RDMA verbs.
#[derive(Debug)]
pub struct RdmaFabric {
    shared: Arc<Shared>,
    receiver: Mutex<Running>,
}

#[derive(Debug)]
enum Running {
    NotYet,
    Yes(JoinHandle<()>),
    NoLonger,
}

impl RdmaFabric {
    /// Opens the device and listens. Without libibverbs, a device or an address on it, the error says what to install or
    /// load.
    pub fn new(config: FabricConfig) -> Result<Arc<Self>, FabricError> {
        // The TCP connections only carry a few messages: their threads don't spin.
        let control = TcpFabric::new(FabricConfig { spin_us: 0, ..config.clone() })?;
        Self::over(config, control)
    }

    fn over(config: FabricConfig, control: Arc<dyn Fabric>) -> Result<Arc<Self>, FabricError> {
        let inbox =
            Inbox::new().map_err(|source| FabricError::System { operation: "making an eventfd", source })?;
        let verbs = |error: VerbsError| FabricError::Verbs { what: error.to_string() };
        let adapter = Adapter::open(&control.address()).map_err(verbs)?;
        let shared = Shared::new(config, control, inbox, adapter).map_err(verbs)?;
        Ok(Arc::new(Self { shared: Arc::new(shared), receiver: Mutex::new(Running::NotYet) }))
    }
}

impl Fabric for RdmaFabric {
    fn id(&self) -> NodeId {
        self.shared.config.id
    }

    fn address(&self) -> String {
        self.shared.control.address()
    }

    fn now(&self) -> Nanos {
        Nanos::monotonic()
    }

    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        let mut running = self.receiver.lock();
        if !matches!(*running, Running::NotYet) {
            return Err(FabricError::Stopped);
        }
        let receiver = Receiver::new(Arc::clone(&self.shared), handler);
        let thread = std::thread::Builder::new()
            .name("scifs-rdma".into())
            .spawn(move || receiver.run())
            .map_err(|source| FabricError::System { operation: "starting the receiver", source })?;
        *running = Running::Yes(thread);
        drop(running);
        self.shared.control.start(Arc::new(ControlHandler {
            inbox: Arc::clone(&self.shared.inbox),
            control: Arc::downgrade(&self.shared.control),
            said: Mutex::new(HashMap::new()),
        }))
    }

    fn connect(&self, address: &str) -> Result<(), FabricError> {
        if self.shared.inbox.is_stopping() {
            return Err(FabricError::Stopped);
        }
        let mut asked = self.shared.asked.lock();
        if asked.len() < CONNECTIONS_MAX {
            asked.insert(address.into());
        }
        drop(asked);
        self.shared.control.connect(address).inspect_err(|_| {
            self.shared.asked.lock().remove(address);
        })
    }

    fn disconnect(&self, peer: NodeId) {
        if let Some(connection) = self.shared.peer(peer) {
            connection.link.lock().closing = true;
            self.shared.inbox.push(Input::Disconnect { peer });
        }
    }

    fn register(&self, region: &Arc<Region>) -> Result<(), FabricError> {
        self.shared.cache.lock().register(region).map_err(fabric_error)
    }

    fn forget(&self, region: RegionId) {
        self.shared.forget(region);
    }

    fn grant(
        &self,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> Result<RemoteKey, FabricError> {
        self.shared.grant(peer, slice, rights, until)
    }

    fn revoke(&self, peer: NodeId, key: &RemoteKey) {
        self.shared.revoke(peer, key);
    }

    fn send(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        self.shared.send(peer, head, body)
    }

    fn post(&self, peer: NodeId, op: OpId, operation: Operation<'_>) -> Result<(), SendError> {
        self.shared.begin(peer, op, &operation)
    }

    fn stop(&self) {
        let running = std::mem::replace(&mut *self.receiver.lock(), Running::NoLonger);
        if let Running::Yes(thread) = running {
            let from_handler = thread.thread().id() == std::thread::current().id();
            if from_handler {
                self.shared.inbox.be_quiet();
            }
            self.shared.inbox.stop();
            if !from_handler && thread.join().is_err() {
                tracing::error!("the RDMA receiver has panicked");
            }
        }
        self.shared.control.stop();
    }
}

impl Drop for RdmaFabric {
    fn drop(&mut self) {
        self.stop();
    }
}
