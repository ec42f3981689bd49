//! What a node lets its peers reach. The check is made here, when an operation arrives, and believes nothing that the
//! peer says about its key.

use std::collections::BTreeMap;

use crate::limits::GRANTS_MAX;
use crate::memory::{RegionId, RegionSlice};
use crate::verbs::{RemoteKey, RemoteSlice, Rights};
use crate::{Nanos, NodeId};

#[derive(Debug)]
struct Grant {
    peer: NodeId,
    slice: RegionSlice,
    rights: Rights,
    until: Nanos,
}

#[derive(Debug, Default)]
pub(super) struct Grants(BTreeMap<u64, Grant>);

impl Grants {
    /// `None` when too many are live. `key` is drawn at random: who guesses one still isn't the peer it was made for.
    pub(super) fn add(
        &mut self,
        key: u64,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
        now: Nanos,
    ) -> Option<RemoteKey> {
        if self.0.len() >= GRANTS_MAX {
            self.0.retain(|_, grant| grant.until > now);
        }
        if self.0.len() >= GRANTS_MAX || self.0.contains_key(&key) {
            return None;
        }
        self.0.insert(key, Grant { peer, slice: slice.clone(), rights, until });
        Some(RemoteKey { key, base: slice.offset(), bytes: slice.bytes() as u64 })
    }

    pub(super) fn revoke(&mut self, peer: NodeId, key: u64) {
        if self.0.get(&key).is_some_and(|grant| grant.peer == peer) {
            self.0.remove(&key);
        }
    }

    pub(super) fn forget_region(&mut self, region: RegionId) {
        self.0.retain(|_, grant| grant.slice.region().id() != region);
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        self.0.retain(|_, grant| grant.peer != peer);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The memory that `peer` means, if it may use it in this way now.
    pub(super) fn reach(
        &self,
        peer: NodeId,
        at: &RemoteSlice,
        needed: Rights,
        now: Nanos,
    ) -> Option<RegionSlice> {
        let grant = self.0.get(&at.key.key)?;
        let has = grant.rights;
        let allowed = (has.read || !needed.read)
            && (has.write || !needed.write)
            && (has.atomic || !needed.atomic)
            && grant.peer == peer
            && now < grant.until;
        let start = at.key.base.checked_add(at.offset)?.checked_sub(grant.slice.offset())?;
        allowed.then(|| grant.slice.part(usize::try_from(start).ok()?, at.bytes).ok()).flatten()
    }
}
