//! What a node is started with.

use std::sync::Arc;
use std::time::Duration;

use super::NodeError;
use crate::NodeId;
use crate::auth::Secret;
use crate::limits::NODE_NAME_BYTES_MAX;
use crate::verbs::rdma::RdmaFabric;
use crate::verbs::tcp::TcpFabric;
use crate::verbs::{Fabric, FabricConfig, FabricError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FabricKind {
    Tcp,
    Verbs,
}

impl FabricKind {
    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Verbs => "verbs",
        }
    }
}

/// One node's settings, as `scifs` reads them from options and the configuration file.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: String,
    /// Where peers reach it. `None`: the usual port on loopback, or any other there when that is taken.
    pub listen: Option<String>,
    /// Members of the cluster to join; none founds a cluster.
    pub join: Vec<String>,
    pub fabric: FabricKind,
    pub memory_bytes: u64,
    pub secret: Option<Secret>,
    pub spin_us: u64,
    /// How long a silent member is taken for alive.
    pub failure_timeout: Duration,
    /// How many members vote, once there are enough: 1, 3 or 5.
    pub voters_max: u8,
}

/// Where a node listens that isn't told where.
const LISTEN_DEFAULT: &str = "127.0.0.1:7000";
const LISTEN_OTHERWISE: &str = "127.0.0.1:0";

impl NodeConfig {
    pub(super) fn check(&self) -> Result<(), NodeError> {
        if self.name.is_empty() || self.name.len() > NODE_NAME_BYTES_MAX {
            return Err(NodeError::Name { name: self.name.clone(), max: NODE_NAME_BYTES_MAX });
        }
        Ok(())
    }

    /// Opens the fabric and listens.
    pub(super) fn open_fabric(&self, id: NodeId) -> Result<Arc<dyn Fabric>, FabricError> {
        match &self.listen {
            Some(listen) => self.open_at(id, listen),
            None => self.open_at(id, LISTEN_DEFAULT).or_else(|error| match error {
                FabricError::Listen { .. } => self.open_at(id, LISTEN_OTHERWISE),
                other => Err(other),
            }),
        }
    }

    fn open_at(&self, id: NodeId, listen: &str) -> Result<Arc<dyn Fabric>, FabricError> {
        let config = FabricConfig {
            listen: listen.into(),
            secret: self.secret.clone(),
            spin_us: self.spin_us,
            // Connections are given up before members are, so that a lost one is made anew in time.
            liveness_timeout_ms: (self.failure_timeout.as_millis() as u64 / 2).max(1),
            ..FabricConfig::new(id)
        };
        Ok(match self.fabric {
            FabricKind::Tcp => TcpFabric::new(config)?,
            FabricKind::Verbs => RdmaFabric::new(config)?,
        })
    }
}
