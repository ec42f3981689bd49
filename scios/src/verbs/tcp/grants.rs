//! Which peer may reach what of this node's memory, until when. Pure.
//!
//! A grant is found by a random key and belongs to one peer: the key of somebody else's grant is worth nothing. Every
//! index here is by what it is asked for, so that no call costs more than what it changes.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::frame::Target;
use crate::limits::GRANTS_MAX;
use crate::memory::{RegionId, RegionSlice};
use crate::verbs::Rights;
use crate::{Nanos, NodeId};

#[derive(Debug)]
struct Grant {
    peer: NodeId,
    slice: RegionSlice,
    rights: Rights,
    until: Nanos,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Read,
    Write,
    Atomic,
}

#[derive(Debug, Default)]
pub(super) struct Grants {
    by_key: HashMap<u64, Grant>,
    by_peer: HashMap<NodeId, HashSet<u64>>,
    by_region: HashMap<RegionId, HashSet<u64>>,
    by_end: BTreeSet<(Nanos, u64)>,
}

impl Grants {
    /// False when the key is taken or there are too many grants.
    pub(super) fn insert(
        &mut self,
        key: u64,
        peer: NodeId,
        slice: RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> bool {
        if self.is_full() || self.by_key.contains_key(&key) {
            return false;
        }
        self.by_peer.entry(peer).or_default().insert(key);
        self.by_region.entry(slice.region().id()).or_default().insert(key);
        self.by_end.insert((until, key));
        self.by_key.insert(key, Grant { peer, slice, rights, until });
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_key.len() >= GRANTS_MAX
    }

    /// The memory that `peer` may work on, if it may.
    pub(super) fn reach(
        &self,
        peer: NodeId,
        target: Target,
        bytes: usize,
        need: Need,
        now: Nanos,
    ) -> Option<RegionSlice> {
        let grant = self.by_key.get(&target.key)?;
        let allowed = match need {
            Need::Read => grant.rights.read,
            Need::Write => grant.rights.write,
            Need::Atomic => grant.rights.atomic,
        };
        if grant.peer != peer || !allowed || now >= grant.until {
            return None;
        }
        grant.slice.part(usize::try_from(target.at).ok()?, bytes).ok()
    }

    pub(super) fn revoke(&mut self, peer: NodeId, key: u64) {
        if self.by_key.get(&key).is_some_and(|grant| grant.peer == peer) {
            self.remove(key);
        }
    }

    pub(super) fn forget_peer(&mut self, peer: NodeId) {
        for key in self.by_peer.remove(&peer).unwrap_or_default() {
            self.remove(key);
        }
    }

    pub(super) fn forget_region(&mut self, region: RegionId) {
        for key in self.by_region.remove(&region).unwrap_or_default() {
            self.remove(key);
        }
    }

    /// Lets go of the memory of grants that have ended.
    pub(super) fn expire(&mut self, now: Nanos) {
        while let Some(&(until, key)) = self.by_end.first() {
            if until > now {
                return;
            }
            self.remove(key);
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(grant) = self.by_key.remove(&key) else { return };
        self.by_end.remove(&(grant.until, key));
        drop_from(&mut self.by_peer, grant.peer, key);
        drop_from(&mut self.by_region, grant.slice.region().id(), key);
    }
}

fn drop_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, HashSet<u64>>, of: K, key: u64) {
    if let Some(keys) = index.get_mut(&of) {
        keys.remove(&key);
        if keys.is_empty() {
            index.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Region;

    fn peer(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn one_grant(rights: Rights) -> Grants {
        let region = Region::new("test", 8192).unwrap();
        let mut grants = Grants::default();
        assert!(grants.insert(7, peer(1), region.slice(4096, 4096).unwrap(), rights, Nanos(100)));
        grants
    }

    fn at(at: u64) -> Target {
        Target { key: 7, at }
    }

    #[test]
    fn a_grant_reaches_its_range_and_not_one_byte_more() {
        let grants = one_grant(Rights::ALL);
        let now = Nanos(99);
        assert_eq!(grants.reach(peer(1), at(0), 4096, Need::Read, now).unwrap().offset(), 4096);
        assert!(grants.reach(peer(1), at(0), 4097, Need::Read, now).is_none());
        assert!(grants.reach(peer(1), at(4096), 1, Need::Read, now).is_none());
        assert!(grants.reach(peer(1), at(u64::MAX), 2, Need::Read, now).is_none());
        assert!(grants.reach(peer(1), Target { key: 8, at: 0 }, 1, Need::Read, now).is_none());
    }

    #[test]
    fn a_grant_is_for_one_peer_for_its_rights_and_for_its_time() {
        let grants = one_grant(Rights::READ);
        assert!(grants.reach(peer(1), at(0), 8, Need::Read, Nanos(0)).is_some());
        assert!(grants.reach(peer(2), at(0), 8, Need::Read, Nanos(0)).is_none());
        assert!(grants.reach(peer(1), at(0), 8, Need::Write, Nanos(0)).is_none());
        assert!(grants.reach(peer(1), at(0), 8, Need::Atomic, Nanos(0)).is_none());
        assert!(grants.reach(peer(1), at(0), 8, Need::Read, Nanos(100)).is_none());
    }

    #[test]
    fn nothing_is_left_of_a_grant_however_it_ends() {
        let region = Region::new("test", 4096).unwrap();
        let ends: [fn(&mut Grants, RegionId); 4] = [
            |grants, _| grants.revoke(NodeId::new(1).unwrap(), 7),
            |grants, _| grants.forget_peer(NodeId::new(1).unwrap()),
            |grants, region| grants.forget_region(region),
            |grants, _| grants.expire(Nanos(100)),
        ];
        for end in ends {
            let mut grants = Grants::default();
            assert!(grants.insert(7, peer(1), region.whole(), Rights::ALL, Nanos(100)));
            assert!(!grants.insert(7, peer(2), region.whole(), Rights::ALL, Nanos(100)), "the key is taken");
            grants.revoke(peer(2), 7);
            grants.expire(Nanos(99));
            assert!(grants.reach(peer(1), at(0), 8, Need::Read, Nanos(0)).is_some());
            end(&mut grants, region.id());
            assert!(grants.reach(peer(1), at(0), 8, Need::Read, Nanos(0)).is_none());
            let Grants { by_key, by_peer, by_region, by_end } = grants;
            assert!(by_key.is_empty() && by_peer.is_empty() && by_region.is_empty() && by_end.is_empty());
        }
    }
}
