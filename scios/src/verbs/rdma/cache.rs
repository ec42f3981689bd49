//! The registrations of this node's memory, kept for the next transfer: registering costs a system call and pins
//! every page, a transfer often costs less.
//!
//! What was registered by name (`Fabric::register`) stays whole until it is forgotten. For anything else the range of the
//! transfer is registered, small regions as a whole, and the least recently used go first. A registration that a
//! transfer or a window still uses lives on until that has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ffi::{Access, ProtectionDomain, Registration, VerbsError};
use crate::limits::{PAGE_BYTES, PLACED_BYTES_MAX, RDMA_REGISTERED_BYTES_MAX, RDMA_REGISTRATIONS_MAX};
use crate::memory::{Region, RegionId, RegionSlice};

#[derive(Debug)]
pub(super) struct RegistrationCache {
    domain: Arc<ProtectionDomain>,
    entries: BTreeMap<(RegionId, u64), Entry>,
    /// By last use, those that may be evicted.
    by_use: BTreeMap<u64, (RegionId, u64)>,
    uses: u64,
    /// Of those that may be evicted.
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    registration: Arc<Registration>,
    used: u64,
    /// Asked for by name: not evicted.
    named: bool,
}

impl RegistrationCache {
    pub(super) fn new(domain: &Arc<ProtectionDomain>) -> Self {
        Self {
            domain: Arc::clone(domain),
            entries: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        }
    }

    /// Registers all of a region, until it is forgotten.
    pub(super) fn register(&mut self, region: &Arc<Region>) -> Result<(), VerbsError> {
        let whole = region.whole();
        let existing = self.entries.get(&(region.id(), 0)).filter(|entry| entry.registration.covers(&whole));
        let registration = match existing {
            Some(entry) => Arc::clone(&entry.registration),
            None => Arc::new(Registration::new(&self.domain, &whole, Access::Windows)?),
        };
        self.forget(region.id());
        self.insert(registration, true);
        Ok(())
    }

    /// A registration of at least `slice`.
    pub(super) fn get(&mut self, slice: &RegionSlice) -> Result<Arc<Registration>, VerbsError> {
        let id = slice.region().id();
        // The entry that begins last before the slice, or a bigger one at the start of the region.
        let near = self.entries.range((id, 0)..=(id, slice.offset())).next_back();
        let first = self.entries.get_key_value(&(id, 0));
        let found = near.into_iter().chain(first).find(|(_, entry)| entry.registration.covers(slice));
        if let Some(key) = found.map(|(key, _)| *key) {
            return self.touch(key).ok_or_else(|| VerbsError::Call {
                operation: "finding a registration",
                source: std::io::Error::from(std::io::ErrorKind::NotFound),
            });
        }
        self.evict(
            RDMA_REGISTRATIONS_MAX - 1,
            RDMA_REGISTERED_BYTES_MAX.saturating_sub(slice.bytes() as u64),
        );
        let range = around(slice);
        let registration = Registration::new(&self.domain, &range, Access::Windows).or_else(|_| {
            // Too little lockable memory: without the others, and no more than what is needed.
            self.evict(0, 0);
            Registration::new(&self.domain, slice, Access::Windows)
        })?;
        Ok(self.insert(Arc::new(registration), false))
    }

    /// Lets go of all registrations of a region.
    pub(super) fn forget(&mut self, region: RegionId) {
        let keys: Vec<_> =
            self.entries.range((region, 0)..=(region, u64::MAX)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    fn insert(&mut self, registration: Arc<Registration>, named: bool) -> Arc<Registration> {
        let key = (registration.slice().region().id(), registration.slice().offset());
        self.remove(key);
        self.uses += 1;
        if !named {
            self.bytes += registration.slice().bytes() as u64;
            self.by_use.insert(self.uses, key);
        }
        self.entries.insert(key, Entry { registration: Arc::clone(&registration), used: self.uses, named });
        registration
    }

    fn touch(&mut self, key: (RegionId, u64)) -> Option<Arc<Registration>> {
        let entry = self.entries.get_mut(&key)?;
        if !entry.named {
            self.uses += 1;
            self.by_use.remove(&entry.used);
            entry.used = self.uses;
            self.by_use.insert(entry.used, key);
        }
        Some(Arc::clone(&entry.registration))
    }

    fn remove(&mut self, key: (RegionId, u64)) {
        if let Some(entry) = self.entries.remove(&key) {
            self.by_use.remove(&entry.used);
            if !entry.named {
                self.bytes -= entry.registration.slice().bytes() as u64;
            }
        }
    }

    fn evict(&mut self, entries_max: usize, bytes_max: u64) {
        while self.by_use.len() > entries_max || self.bytes > bytes_max {
            let Some((_, &oldest)) = self.by_use.first_key_value() else { break };
            self.remove(oldest);
        }
    }
}

/// The range that is registered for a transfer of `slice`: whole pages, or the whole region if one transfer could
/// move it.
fn around(slice: &RegionSlice) -> RegionSlice {
    let region = slice.region();
    if region.bytes() <= PLACED_BYTES_MAX as u64 {
        return region.whole();
    }
    let page = PAGE_BYTES as u64;
    let start = slice.offset() / page * page;
    let end = (slice.offset() + slice.bytes() as u64).next_multiple_of(page).min(region.bytes());
    usize::try_from(end - start)
        .ok()
        .and_then(|bytes| region.slice(start, bytes).ok())
        .unwrap_or_else(|| slice.clone())
}
