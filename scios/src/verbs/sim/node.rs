//! A node as the simulator sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock::Clock;
use super::conn::{ConnId, Side};
use super::grants::Grants;
use super::queue::Happening;
use crate::NodeId;
use crate::verbs::{FabricConfig, Handler};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Made, and not started.
    New,
    Running,
    /// Ended; its machine still answers, by refusing.
    Ended,
    /// Its machine is gone and answers nothing.
    Vanished,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) host: usize,
    pub(super) config: FabricConfig,
    pub(super) clock: Clock,
    pub(super) life: Life,
    pub(super) handler: Option<Arc<dyn Handler>>,
    pub(super) running: Arc<AtomicBool>,
    pub(super) paused: bool,
    /// What happened to it while it was paused.
    pub(super) deferred: Vec<Happening>,
    /// Those that are up.
    pub(super) peers: BTreeMap<NodeId, (ConnId, Side)>,
    pub(super) grants: Grants,
    /// Addresses that it is trying to connect to.
    pub(super) attempts: BTreeMap<String, u64>,
}

impl Node {
    pub(super) fn new(host: usize, config: FabricConfig, clock: Clock) -> Self {
        Self {
            id: config.id,
            host,
            config,
            clock,
            life: Life::New,
            handler: None,
            running: Arc::default(),
            paused: false,
            deferred: Vec::new(),
            peers: BTreeMap::new(),
            grants: Grants::default(),
            attempts: BTreeMap::new(),
        }
    }

    /// Returns the handler, to be dropped when no lock is held: its drop may call back.
    pub(super) fn end(&mut self, life: Life) -> Option<Arc<dyn Handler>> {
        self.life = life;
        self.running.store(false, Ordering::Relaxed);
        self.deferred.clear();
        self.peers.clear();
        self.grants.clear();
        self.attempts.clear();
        self.handler.take()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("life", &self.life).finish_non_exhaustive()
    }
}
