//! What all threads of a node's RDMA fabric share: the device, the connections, and the completions on their way to
//! the receiver.
//!
//! Locks, in the order in which they may be taken: a connection's `link`, then `backlog`, then any one of the others. The
//! handler is called with none of them held.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::adapter::Adapter;
use super::cache::RegistrationCache;
use super::ffi::{Completion, Outcome, VerbsError};
use super::grants::GrantIndex;
use super::inbox::Inbox;
use super::link::{LINK_NUMBER_MASK, Peer, parse_work_id};
use super::slots::SlotPool;
use crate::NodeId;
use crate::verbs::{Fabric, FabricConfig};

pub(super) struct Shared {
    pub(super) config: FabricConfig,
    pub(super) control: Arc<dyn Fabric>,
    pub(super) inbox: Arc<Inbox>,
    peers: RwLock<Peers>,
    pub(super) cache: Mutex<RegistrationCache>,
    pub(super) grants: GrantIndex,
    pub(super) slots: Arc<SlotPool>,
    /// Work requests under way, over all connections.
    pub(super) works: AtomicU64,
    /// Completions that have been taken and not been looked at, in order.
    backlog: Mutex<VecDeque<Completion>>,
    /// Addresses whose `connect` has not ended.
    pub(super) asked: Mutex<HashSet<String>>,
    pub(super) adapter: Adapter,
}

#[derive(Debug, Default)]
struct Peers {
    by_id: HashMap<NodeId, Arc<Peer>>,
    by_number: HashMap<u32, Arc<Peer>>,
    by_queue_pair: HashMap<u32, Arc<Peer>>,
    last_number: u32,
}

impl Shared {
    pub(super) fn new(
        config: FabricConfig,
        control: Arc<dyn Fabric>,
        inbox: Arc<Inbox>,
        adapter: Adapter,
    ) -> Result<Self, VerbsError> {
        Ok(Self {
            config,
            control,
            inbox,
            peers: RwLock::default(),
            cache: Mutex::new(RegistrationCache::new(&adapter.domain)),
            grants: GrantIndex::new(),
            slots: SlotPool::new(&adapter.domain)?,
            works: AtomicU64::new(0),
            backlog: Mutex::default(),
            asked: Mutex::default(),
            adapter,
        })
    }

    pub(super) fn peer(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.peers.read().by_id.get(&id).cloned()
    }

    pub(super) fn peer_by_number(&self, number: u32) -> Option<Arc<Peer>> {
        self.peers.read().by_number.get(&number).cloned()
    }

    pub(super) fn peer_by_queue_pair(&self, queue_pair: u32) -> Option<Arc<Peer>> {
        self.peers.read().by_queue_pair.get(&queue_pair).cloned()
    }

    pub(super) fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers.read().by_id.values().cloned().collect()
    }

    /// Makes the entry of a new connection, under a number that no other has.
    pub(super) fn add(&self, make: impl FnOnce(u32) -> Peer) -> Arc<Peer> {
        let mut peers = self.peers.write();
        loop {
            peers.last_number = (peers.last_number + 1) & LINK_NUMBER_MASK;
            if !peers.by_number.contains_key(&peers.last_number) {
                break;
            }
        }
        let peer = Arc::new(make(peers.last_number));
        peers.by_id.insert(peer.id, Arc::clone(&peer));
        peers.by_number.insert(peer.number, Arc::clone(&peer));
        peers.by_queue_pair.insert(peer.queue_pair, Arc::clone(&peer));
        peer
    }

    pub(super) fn remove(&self, peer: &Peer) {
        let mut peers = self.peers.write();
        peers.by_id.remove(&peer.id);
        peers.by_number.remove(&peer.number);
        peers.by_queue_pair.remove(&peer.queue_pair);
    }

    /// Takes what has completed. What was posted is noted at once, so that a thread that waits for its work need not
    /// be, or wait for, the receiver; everything else the receiver does, in order.
    pub(super) fn pump(&self) -> Result<usize, VerbsError> {
        let mut backlog = self.backlog.lock();
        self.adapter.completions.poll(|completion| {
            if let Some((number, sequence)) = parse_work_id(completion.id)
                && let Some(peer) = self.peer_by_number(number)
            {
                if !matches!(completion.outcome, Outcome::Done(_)) {
                    peer.note_failure();
                }
                let ended = peer.note_completed(sequence);
                self.works.fetch_sub(ended, Ordering::AcqRel);
            }
            backlog.push_back(completion);
        })
    }

    /// Moves what was taken to the receiver's own queue.
    pub(super) fn take_backlog(&self, into: &mut VecDeque<Completion>) {
        into.append(&mut self.backlog.lock());
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.lock().is_empty()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}
