//! `Fabric::grant`, `revoke` and `forget`: a grant is a memory window of type 2, bound to the queue pair of its peer.
//!
//! The bind is posted to the peer's own queue pair, so that it is in place before any message that was sent later, and
//! nobody waits for it. Ending a grant frees the window, which takes effect before the call returns; only a window
//! whose bind hasn't ended yet is waited for, or the bind would come after the end.
//!
//! soft-RoCE checks a window against the range of the whole registration under it (kernel 6.1), so there every grant has a registration
//! of exactly its range.

use std::sync::Arc;

use super::ffi::{Access, Payload, Registration, VerbsError, Window, Work, WorkKind};
use super::grants::Grant;
use super::link::{Flying, Link, Peer};
use super::shared::Shared;
use crate::limits::{GRANTS_MAX, RDMA_REVOKE_MS, TICK_MS};
use crate::memory::{RegionId, RegionSlice};
use crate::verbs::{FabricError, RemoteKey, Rights};
use crate::{Nanos, NodeId};

impl Shared {
    pub(super) fn grant(
        &self,
        peer: NodeId,
        slice: &RegionSlice,
        rights: Rights,
        until: Nanos,
    ) -> Result<RemoteKey, FabricError> {
        let peer = self.peer(peer).ok_or(FabricError::NotConnected(peer))?;
        let window = self.window(slice).map_err(fabric_error)?;
        let key = window.next_key();
        let region = slice.region().id();

        let mut link = peer.link.lock();
        if !link.is_up() || !self.wait_for_room(&peer, &link) {
            return Err(FabricError::NotConnected(peer.id));
        }
        if !self.grants.add((peer.number, key), region, until) {
            return Err(FabricError::Grants { max: GRANTS_MAX });
        }
        let kind = WorkKind::Bind { window: &window, key, range: slice, rights };
        let work = Work { id: 0, signaled: true, kind, payload: Payload::Gather(&[]) };
        self.post(&peer, &mut link, &mut [work], Flying::Other);
        let bind = link.posted;
        link.grants.insert(key, Grant { _window: window, region, until, bind });
        drop(link);
        if until < Nanos::monotonic() + std::time::Duration::from_millis(TICK_MS) {
            // The receiver may be going to sleep past the end.
            self.inbox.wake();
        }
        Ok(RemoteKey { key: key.into(), base: slice.base() as u64, bytes: slice.bytes() as u64 })
    }

    fn window(&self, slice: &RegionSlice) -> Result<Window, VerbsError> {
        let registration = if self.adapter.window_range_checked {
            self.cache.lock().get(slice)?
        } else {
            Arc::new(Registration::new(&self.adapter.domain, slice, Access::Windows)?)
        };
        Window::new(registration)
    }

    /// Waits until the queue pair takes one more work request, as `revoke` waits. False if it won't.
    fn wait_for_room(&self, peer: &Peer, link: &Link) -> bool {
        self.wait_until(peer, || link.works_free(peer.completed()) > 0)
    }

    /// Whether `ready` comes true before the connection fails or takes too long.
    fn wait_until(&self, peer: &Peer, ready: impl Fn() -> bool) -> bool {
        if ready() {
            return true;
        }
        let end = Nanos::monotonic() + std::time::Duration::from_millis(RDMA_REVOKE_MS);
        while Nanos::monotonic() < end && !peer.has_failed() {
            if self.pump().is_err() {
                return false;
            }
            if ready() {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    pub(super) fn revoke(&self, peer: NodeId, key: &RemoteKey) {
        if let (Some(peer), Ok(key)) = (self.peer(peer), u32::try_from(key.key)) {
            self.end_grant(&peer, &mut peer.link.lock(), key);
        }
    }

    pub(super) fn end_grant(&self, peer: &Peer, link: &mut Link, key: u32) {
        let Some(grant) = link.grants.remove(&key) else { return };
        self.grants.remove((peer.number, key), grant.region, grant.until);
        if !self.wait_until(peer, || peer.completed() >= grant.bind)
            && let Some(queue_pair) = &link.queue_pair
        {
            // Nothing comes through a failed queue pair, whatever becomes of the window.
            peer.note_failure();
            if let Err(error) = queue_pair.fail() {
                tracing::error!(peer = %peer.id, %error);
            }
        }
        drop(grant);
    }

    pub(super) fn end_all_grants(&self, peer: &Peer, link: &mut Link) {
        for (key, grant) in link.grants.drain() {
            self.grants.remove((peer.number, key), grant.region, grant.until);
        }
    }

    pub(super) fn forget(&self, region: RegionId) {
        for (number, key) in self.grants.of_region(region) {
            if let Some(peer) = self.peer_by_number(number) {
                self.end_grant(&peer, &mut peer.link.lock(), key);
            }
        }
        self.cache.lock().forget(region);
    }

    /// Ends the grants whose time is over.
    pub(super) fn end_leases(&self, now: Nanos) {
        while let Some((number, key)) = self.grants.take_ended(now) {
            if let Some(peer) = self.peer_by_number(number) {
                self.end_grant(&peer, &mut peer.link.lock(), key);
            }
        }
    }
}

pub(super) fn fabric_error(error: VerbsError) -> FabricError {
    match error {
        VerbsError::Call { operation, source } => FabricError::System { operation, source },
        other => FabricError::Verbs { what: other.to_string() },
    }
}
