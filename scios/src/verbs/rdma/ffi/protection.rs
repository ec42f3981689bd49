//! Who may reach which memory: protection domains, registrations (the device's own right to a range) and windows (a
//! peer's right to a part of one).

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use super::bindings::{
    self, IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_MW_BIND, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ,
    IBV_ACCESS_REMOTE_WRITE, IBV_MW_TYPE_2,
};
use super::{Device, Sge, VerbsError};
use crate::memory::RegionSlice;
use crate::verbs::Rights;

/// What belongs together; objects of one domain can't be used with those of another.
#[derive(Debug)]
pub struct ProtectionDomain {
    pd: NonNull<bindings::ibv_pd>,
    device: Arc<Device>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for ProtectionDomain {}
// SAFETY: as above.
unsafe impl Sync for ProtectionDomain {}

impl ProtectionDomain {
    pub fn new(device: &Arc<Device>) -> Result<Arc<Self>, VerbsError> {
        // SAFETY: the device is open.
        let pd = unsafe { device.library().verbs().ibv_alloc_pd(device.raw()) };
        let pd = NonNull::new(pd).ok_or_else(|| VerbsError::last("making a protection domain"))?;
        Ok(Arc::new(Self { pd, device: Arc::clone(device) }))
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_pd {
        self.pd.as_ptr()
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl Drop for ProtectionDomain {
    fn drop(&mut self) {
        // SAFETY: whatever was made in the domain holds it, so nothing is left.
        let returned = unsafe { self.device.library().verbs().ibv_dealloc_pd(self.raw()) };
        if let Err(error) = VerbsError::check("freeing a protection domain", returned) {
            tracing::error!(%error);
        }
    }
}

/// How the device may use registered memory. No registration gives a peer any right; windows do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Source and destination of this node's own operations.
    Local,
    /// That, and windows may be bound to it.
    Windows,
}

/// Memory that the device may reach: pinned for as long as this lives.
#[derive(Debug)]
pub struct Registration {
    mr: NonNull<bindings::ibv_mr>,
    slice: RegionSlice,
    domain: Arc<ProtectionDomain>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    pub fn new(
        domain: &Arc<ProtectionDomain>,
        slice: &RegionSlice,
        access: Access,
    ) -> Result<Self, VerbsError> {
        const OPERATION: &str = "registering memory";
        let flags = match access {
            Access::Local => IBV_ACCESS_LOCAL_WRITE,
            Access::Windows => IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND,
        };
        let verbs = domain.device.library().verbs();
        // SAFETY: the slice is mapped, and kept so by the copy of it in the result, which outlives the registration.
        let mr = unsafe {
            verbs.ibv_reg_mr(domain.raw(), slice.base().cast(), slice.bytes(), flags.cast_signed())
        };
        let Some(mr) = NonNull::new(mr) else {
            let source = io::Error::last_os_error();
            return Err(match source.raw_os_error() {
                Some(libc::ENOMEM) => {
                    VerbsError::Lockable { operation: OPERATION, bytes: slice.bytes(), source }
                }
                _ => VerbsError::Call { operation: OPERATION, source },
            });
        };
        Ok(Self { mr, slice: slice.clone(), domain: Arc::clone(domain) })
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_mr {
        self.mr.as_ptr()
    }

    pub fn slice(&self) -> &RegionSlice {
        &self.slice
    }

    /// Whether all of `slice` is registered by this.
    pub fn covers(&self, slice: &RegionSlice) -> bool {
        let (mine, theirs) = (&self.slice, slice);
        mine.region().id() == theirs.region().id()
            && mine.offset() <= theirs.offset()
            && theirs.offset() + theirs.bytes() as u64 <= mine.offset() + mine.bytes() as u64
    }

    /// What names a covered slice to the device; `None` for a slice that isn't covered.
    pub fn sge(&self, slice: &RegionSlice) -> Option<Sge> {
        let bytes = u32::try_from(slice.bytes()).ok()?;
        // SAFETY: the registration lives as long as self.
        let lkey = unsafe { (*self.raw()).lkey };
        self.covers(slice).then(|| Sge::new(slice.base() as u64, bytes, lkey))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: made by `new`, dropped once.
        let returned = unsafe { self.domain.device.library().verbs().ibv_dereg_mr(self.raw()) };
        if let Err(error) = VerbsError::check("deregistering memory", returned) {
            tracing::error!(%error);
        }
    }
}

/// A memory window of type 2: what one peer may do with one range. It gives nothing until it is bound
/// (`WorkKind::Bind`); dropping it ends, before the drop returns, what it gave. Drop it before its queue pair.
#[derive(Debug)]
pub struct Window {
    mw: NonNull<bindings::ibv_mw>,
    /// Under the window, and so must outlive it: fields drop in order, after `drop`.
    registration: Arc<Registration>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    pub fn new(registration: Arc<Registration>) -> Result<Self, VerbsError> {
        const OPERATION: &str = "making a memory window";
        let device = &registration.domain.device;
        let Some(alloc) = device.ops().alloc_mw else {
            return Err(unsupported(OPERATION));
        };
        // SAFETY: the domain is alive, which the registration sees to.
        let mw = unsafe { alloc(registration.domain.raw(), IBV_MW_TYPE_2) };
        let mw = NonNull::new(mw).ok_or_else(|| VerbsError::last(OPERATION))?;
        // SAFETY: just made. The driver leaves the domain and context to its caller, as `ibv_alloc_mw` shows.
        unsafe {
            (*mw.as_ptr()).context = device.raw();
            (*mw.as_ptr()).pd = registration.domain.raw();
        }
        Ok(Self { mw, registration })
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_mw {
        self.mw.as_ptr()
    }

    pub(super) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// The key that a bind of this window gives it: the next one, so that keys of the past don't work.
    pub fn next_key(&self) -> u32 {
        // SAFETY: alive as long as self.
        let key = unsafe { (*self.raw()).rkey };
        (key & !0xff) | (key.wrapping_add(1) & 0xff)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let device = &self.registration.domain.device;
        let result = match device.ops().dealloc_mw {
            // SAFETY: made by `new`, dropped once.
            Some(dealloc) => VerbsError::check("freeing a memory window", unsafe { dealloc(self.raw()) }),
            None => Err(unsupported("freeing a memory window")),
        };
        if let Err(error) = result {
            tracing::error!(%error);
        }
    }
}

pub(super) fn unsupported(operation: &'static str) -> VerbsError {
    VerbsError::Call { operation, source: io::Error::from_raw_os_error(libc::EOPNOTSUPP) }
}

/// A peer's rights as the device knows them.
pub(super) fn window_flags(rights: Rights) -> u32 {
    let flag = |given, flag| if given { flag } else { 0 };
    flag(rights.read, IBV_ACCESS_REMOTE_READ)
        | flag(rights.write, IBV_ACCESS_REMOTE_WRITE)
        | flag(rights.atomic, IBV_ACCESS_REMOTE_ATOMIC)
}
