//! The node's end of the simulator: the `Fabric` that its code calls.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::net::Net;
use super::node::Life;
use crate::memory::{Region, RegionId, RegionSlice};
use crate::verbs::{Fabric, FabricError, Handler, OpId, Operation, RemoteKey, Rights, SendError};
use crate::{Nanos, NodeId};

/// One node's fabric in a `SimNet`.
pub struct SimFabric {
    pub(super) net: Arc<Mutex<Net>>,
    pub(super) node: usize,
    pub(super) id: NodeId,
    pub(super) address: String,
}

impl Fabric for SimFabric {
    fn id(&self) -> NodeId {
        self.id
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn now(&self) -> Nanos {
        let net = self.net.lock();
        net.nodes.get(self.node).map_or(net.now, |node| node.clock.at(net.now))
    }

    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        self.net.lock().start(self.node, handler)
    }

    fn connect(&self, address: &str) -> Result<(), FabricError> {
        self.net.lock().connect(self.node, address)
    }

    fn disconnect(&self, peer: NodeId) {
        self.net.lock().disconnect(self.node, peer);
    }

    fn register(&self, _region: &Arc<Region>) -> Result<(), FabricError> {
        match self.net.lock().nodes.get(self.node) {
            Some(node) if matches!(node.life, Life::New | Life::Running) => Ok(()),
            _ => Err(FabricError::Stopped),
        }
    }

    fn forget(&self, region: RegionId) {
        if let Some(node) = self.net.lock().nodes.get_mut(self.node) {
            node.grants.forget_region(region);
        }
    }

    fn grant(
        &self,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> Result<RemoteKey, FabricError> {
        let mut net = self.net.lock();
        let key = net.random.any();
        let now = net.now;
        let node = net.nodes.get_mut(self.node).ok_or(FabricError::Stopped)?;
        if !matches!(node.life, Life::New | Life::Running) {
            return Err(FabricError::Stopped);
        }
        if !node.peers.contains_key(&peer) {
            return Err(FabricError::NotConnected(peer));
        }
        let local_now = node.clock.at(now);
        let full = FabricError::Grants { max: crate::limits::GRANTS_MAX };
        node.grants.add(key, peer, slice, rights, until, local_now).ok_or(full)
    }

    fn revoke(&self, peer: NodeId, key: &RemoteKey) {
        if let Some(node) = self.net.lock().nodes.get_mut(self.node) {
            node.grants.revoke(peer, key.key);
        }
    }

    fn send(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        self.net.lock().send(self.node, peer, head, body)
    }

    fn post(&self, peer: NodeId, op: OpId, operation: Operation<'_>) -> Result<(), SendError> {
        self.net.lock().post(self.node, peer, op, operation)
    }

    fn stop(&self) {
        let handler = self.net.lock().stop(self.node);
        drop(handler);
    }
}

impl fmt::Debug for SimFabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFabric")
            .field("id", &self.id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
