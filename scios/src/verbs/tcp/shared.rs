//! What the callers of the fabric and its receiving thread share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, RwLock};

use super::grants::Grants;
use super::link::Link;
use super::poll::Poller;
use super::stream::End;
use crate::NodeId;
use crate::auth::Local;

/// What callers leave for the receiving thread to do.
#[derive(Debug)]
pub(super) enum Command {
    Connect {
        address: String,
        resolved: Vec<SocketAddr>,
    },
    Disconnect(NodeId),
    /// `Place`s of this connection have left; tell the handler.
    Placed(Arc<Link>),
    /// A lane has ended: its connection is the receiver's again.
    LaneEnded {
        token: u64,
        end: End,
    },
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) local: Arc<Local>,
    pub(super) spin_us: u64,
    pub(super) liveness_timeout_ms: u64,
    pub(super) poller: Poller,
    /// The peers that are up.
    pub(super) peers: RwLock<HashMap<NodeId, Arc<Link>>>,
    pub(super) grants: Mutex<Grants>,
    pub(super) commands: Mutex<Vec<Command>>,
    pub(super) stopping: AtomicBool,
}

impl Shared {
    pub(super) fn link(&self, peer: NodeId) -> Option<Arc<Link>> {
        self.peers.read().get(&peer).cloned()
    }

    pub(super) fn command(&self, command: Command) {
        self.commands.lock().push(command);
        self.poller.wake();
    }
}
