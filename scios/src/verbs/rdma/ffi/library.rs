//! libibverbs, loaded when it is asked for.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::bindings::{self, Verbs};
use super::{Device, VerbsError};

/// The name that every distribution gives the library's first (and so far only) binary interface.
const LIBRARY_NAME: &str = "libibverbs.so.1";

pub struct Library {
    verbs: Verbs,
}

impl Library {
    pub fn load() -> Result<Arc<Self>, VerbsError> {
        Self::load_named(LIBRARY_NAME)
    }

    pub(super) fn load_named(name: &str) -> Result<Arc<Self>, VerbsError> {
        // SAFETY: libibverbs' initializers do nothing that this process could break, and the functions have the types
        // of its header, from which the bindings were generated.
        let loaded = unsafe { Verbs::new(name) };
        let verbs =
            loaded.map_err(|error| VerbsError::Library { name: name.into(), what: error.to_string() })?;
        Ok(Arc::new(Self { verbs }))
    }

    pub(super) fn verbs(&self) -> &Verbs {
        &self.verbs
    }

    /// Opens every device that there is; at least one.
    pub fn devices(self: &Arc<Self>) -> Result<Vec<Arc<Device>>, VerbsError> {
        let mut count = 0;
        // SAFETY: writes the number of devices to `count`, returns an array of them that is freed below.
        let list = unsafe { self.verbs.ibv_get_device_list(&mut count) };
        if list.is_null() {
            let source = io::Error::last_os_error();
            return Err(match source.raw_os_error() {
                Some(libc::ENOSYS) => VerbsError::Kernel,
                _ => VerbsError::Call { operation: "listing the RDMA devices", source },
            });
        }
        // SAFETY: the array has `count` entries and outlives this use of it.
        let entries = unsafe { std::slice::from_raw_parts(list, usize::try_from(count).unwrap_or(0)) };
        let opened = entries.iter().map(|&entry| Device::open(self, entry)).collect();
        // SAFETY: the list is ours; an open device keeps what it needs of its entry.
        unsafe { self.verbs.ibv_free_device_list(list) };
        let opened: Vec<_> = Result::from_iter::<Vec<Result<_, _>>>(opened)?;
        if opened.is_empty() { Err(without_devices()) } else { Ok(opened) }
    }

    pub(super) fn device_name(&self, device: *mut bindings::ibv_device) -> String {
        // SAFETY: `device` is of the live device list; its name is a C string inside of it.
        unsafe { CStr::from_ptr(self.verbs.ibv_get_device_name(device)) }.to_string_lossy().into_owned()
    }

    /// What libibverbs calls a completion status.
    pub(super) fn status_name(&self, status: bindings::ibv_wc_status) -> &str {
        // SAFETY: a static C string, also for numbers that it doesn't know.
        let name = unsafe { CStr::from_ptr(self.verbs.ibv_wc_status_str(status)) };
        name.to_str().unwrap_or("unknown status")
    }
}

/// An empty list has two causes with different remedies: no device, or no driver in user space for it.
fn without_devices() -> VerbsError {
    let known = std::fs::read_dir("/sys/class/infiniband").ok().and_then(|mut entries| entries.next());
    match known {
        Some(Ok(entry)) => {
            VerbsError::NoProvider { device: entry.file_name().to_string_lossy().into_owned() }
        }
        _ => VerbsError::NoDevice,
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LIBRARY_NAME)
    }
}
