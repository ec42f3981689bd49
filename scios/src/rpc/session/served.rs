//! The requests of one peer that have been delivered and not been answered. They outlive a lost connection: a
//! request that is sent again then finds the one that is still running, and is not run twice at the same time.

use std::collections::BTreeMap;

use crate::Nanos;
use crate::limits::RPC_SERVED_MAX;

#[derive(Clone, Copy, Debug)]
pub(super) struct ServedRequest {
    pub kind: u16,
    /// The caller doesn't wait any longer than this, so nobody needs to answer it.
    pub deadline: Nanos,
}

#[derive(Debug, Default)]
pub(super) struct Served {
    requests: BTreeMap<u64, ServedRequest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    New,
    /// It is being served already; its answer will do for both.
    Duplicate,
    Full,
}

impl Served {
    pub(super) fn admit(&mut self, id: u64, request: ServedRequest) -> Admission {
        if let Some(running) = self.requests.get_mut(&id) {
            running.deadline = running.deadline.max(request.deadline);
            return Admission::Duplicate;
        }
        if self.requests.len() >= RPC_SERVED_MAX {
            return Admission::Full;
        }
        self.requests.insert(id, request);
        Admission::New
    }

    pub(super) fn is_wanted(&self, id: u64) -> bool {
        self.requests.contains_key(&id)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<ServedRequest> {
        self.requests.remove(&id)
    }

    pub(super) fn take_expired(&mut self, now: Nanos) -> Vec<(u64, ServedRequest)> {
        let is_over = |request: &ServedRequest| request.deadline <= now;
        let expired: Vec<_> =
            self.requests.iter().filter(|(_, r)| is_over(r)).map(|(id, r)| (*id, *r)).collect();
        self.requests.retain(|_, request| !is_over(request));
        expired
    }

    pub(super) fn alarm(&self) -> Nanos {
        self.requests.values().map(|request| request.deadline).min().unwrap_or(Nanos::MAX)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}
