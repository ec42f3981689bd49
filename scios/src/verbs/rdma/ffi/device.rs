//! A device: what it can do, its ports, and the addresses (GIDs) that it has on them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ptr::NonNull;
use std::sync::Arc;

use super::bindings::{
    self, IBV_ATOMIC_NONE, IBV_DEVICE_MEM_WINDOW_TYPE_2B, IBV_GID_TYPE_IB, IBV_GID_TYPE_ROCE_V2,
    IBV_PORT_ACTIVE,
};
use super::{Library, VerbsError};

/// rxe's vendor number. It checks an operation through a memory window against the window's rights and queue pair,
/// but against the range of the whole registration below it.
const VENDOR_RXE: u32 = 0xff_ffff;

pub struct Device {
    context: NonNull<bindings::ibv_context>,
    name: String,
    library: Arc<Library>,
}

// SAFETY: libibverbs may be called from any thread.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

#[derive(Clone, Copy, Debug)]
pub struct DeviceLimits {
    pub queue_works_max: u32,
    pub gather_max: u32,
    pub completions_max: u32,
    pub receives_max: u32,
    /// Reads and atomics under way that a queue pair answers, and asks for.
    pub reads_answered_max: u8,
    pub reads_asked_max: u8,
    pub atomics: bool,
    /// Type 2B memory windows: bound to one queue pair.
    pub windows: bool,
    /// False where a window protects its whole registration instead of its range.
    pub window_range_checked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u8,
    pub active: bool,
    /// As `enum ibv_mtu`: 1 is 256 bytes, 5 is 4096.
    pub mtu: u8,
    pub lid: u16,
    gid_slots: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GidKind {
    InfiniBand,
    RoceV2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gid {
    pub raw: [u8; 16],
    pub index: u8,
    pub kind: GidKind,
}

impl Gid {
    /// RoCE's GIDs are IP addresses.
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from(self.raw).to_canonical()
    }
}

impl Device {
    /// `entry` is of a live device list.
    pub(super) fn open(
        library: &Arc<Library>,
        entry: *mut bindings::ibv_device,
    ) -> Result<Arc<Self>, VerbsError> {
        // SAFETY: the entry's list is alive.
        let context = unsafe { library.verbs().ibv_open_device(entry) };
        let context = NonNull::new(context).ok_or_else(|| VerbsError::last("opening an RDMA device"))?;
        Ok(Arc::new(Self { context, name: library.device_name(entry), library: Arc::clone(library) }))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn library(&self) -> &Library {
        &self.library
    }

    pub(super) fn raw(&self) -> *mut bindings::ibv_context {
        self.context.as_ptr()
    }

    /// The driver's own functions.
    pub(super) fn ops(&self) -> &bindings::ibv_context_ops {
        // SAFETY: the table is filled in when the device is opened and not changed until it is closed.
        unsafe { &(*self.context.as_ptr()).ops }
    }

    pub fn limits(&self) -> Result<DeviceLimits, VerbsError> {
        let mut attr = bindings::ibv_device_attr::default();
        // SAFETY: fills in `attr`.
        let returned = unsafe { self.library.verbs().ibv_query_device(self.raw(), &mut attr) };
        VerbsError::check("asking an RDMA device for its limits", returned)?;
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        let small = |value: i32| u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX);
        Ok(DeviceLimits {
            queue_works_max: count(attr.max_qp_wr),
            gather_max: count(attr.max_sge),
            completions_max: count(attr.max_cqe),
            receives_max: count(attr.max_srq_wr),
            reads_answered_max: small(attr.max_qp_rd_atom),
            reads_asked_max: small(attr.max_qp_init_rd_atom),
            atomics: attr.atomic_cap != IBV_ATOMIC_NONE,
            windows: attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B != 0,
            window_range_checked: attr.vendor_id != VENDOR_RXE,
        })
    }

    pub fn ports(&self) -> Result<Vec<Port>, VerbsError> {
        let mut attr = bindings::ibv_device_attr::default();
        // SAFETY: fills in `attr`.
        let returned = unsafe { self.library.verbs().ibv_query_device(self.raw(), &mut attr) };
        VerbsError::check("asking an RDMA device for its ports", returned)?;
        (1..=attr.phys_port_cnt).map(|number| self.port(number)).collect()
    }

    fn port(&self, number: u8) -> Result<Port, VerbsError> {
        let mut attr = bindings::ibv_port_attr::default();
        // SAFETY: the exported function fills in the older, shorter struct, which is a prefix of this one; `verbs.h`
        // wraps it in the same way.
        let returned =
            unsafe { self.library.verbs().ibv_query_port(self.raw(), number, (&raw mut attr).cast()) };
        VerbsError::check("asking for the state of an RDMA port", returned)?;
        Ok(Port {
            number,
            active: attr.state == IBV_PORT_ACTIVE,
            mtu: u8::try_from(attr.active_mtu).unwrap_or(1),
            lid: attr.lid,
            gid_slots: u32::try_from(attr.gid_tbl_len).unwrap_or(0),
        })
    }

    /// The addresses that a port has now. They appear some time after the link and its IP addresses do.
    pub fn gids(&self, port: &Port) -> Vec<Gid> {
        (0..port.gid_slots).filter_map(|index| self.gid(port.number, index)).collect()
    }

    /// `None` for an empty slot and for RoCE's first version, which doesn't leave an Ethernet segment.
    fn gid(&self, port: u8, index: u32) -> Option<Gid> {
        let mut entry = bindings::ibv_gid_entry::default();
        let bytes = size_of::<bindings::ibv_gid_entry>();
        let verbs = self.library.verbs();
        // SAFETY: fills in `entry`, whose size it is told.
        let returned =
            unsafe { verbs._ibv_query_gid_ex(self.raw(), port.into(), index, &mut entry, 0, bytes) };
        let kind = match entry.gid_type {
            IBV_GID_TYPE_IB => GidKind::InfiniBand,
            IBV_GID_TYPE_ROCE_V2 => GidKind::RoceV2,
            _ => return None,
        };
        // SAFETY: all bit patterns are valid for both members of the union.
        let raw = unsafe { entry.gid.raw };
        let index = u8::try_from(index).ok()?;
        (returned == 0 && raw != [0; 16]).then_some(Gid { raw, index, kind })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: every object made on the device holds it, so none is left.
        let returned = unsafe { self.library.verbs().ibv_close_device(self.raw()) };
        if let Err(error) = VerbsError::check("closing an RDMA device", returned) {
            tracing::error!(device = self.name, %error);
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.name).finish()
    }
}
