//! The device that a node uses, with everything on it that all connections share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ffi::{
    Channel, CompletionQueue, Device, DeviceLimits, Gid, GidKind, Library, Port, ProtectionDomain, QueuePair,
    QueuePairSizes, ReceiveQueue, VerbsError,
};
use crate::limits::{
    GATHER_SLICES_MAX, MESSAGE_BYTES_MAX, RDMA_COMPLETIONS, RDMA_GID_WAIT_MS, RDMA_INLINE_BYTES_MAX,
    RDMA_QUEUE_WORKS, RDMA_QUEUE_WORKS_FOR_GRANTS, RDMA_READS_IN_FLIGHT, RDMA_RECEIVE_BUFFERS,
    RDMA_RECEIVE_BUFFERS_FEW,
};

/// One peer may fill so much of the receive queue.
const SHARE: u32 = 4;

#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) receives: Arc<ReceiveQueue>,
    pub(super) completions: Arc<CompletionQueue>,
    pub(super) domain: Arc<ProtectionDomain>,
    pub(super) port: Port,
    pub(super) gid: Gid,
    /// Work requests that all connections together may have under way, so that their completions fit.
    pub(super) works_max: u64,
    /// Messages that one peer may send before it is told that some were handled.
    pub(super) window: u8,
    pub(super) reads_asked: u8,
    pub(super) reads_answered: u8,
    /// See [`DeviceLimits::window_range_checked`].
    pub(super) window_range_checked: bool,
}

/// A port that can be used, and its address.
struct Place {
    device: Arc<Device>,
    port: Port,
    gid: Gid,
}

impl Adapter {
    /// The port that has the address which this node listens on; without one, the first that another node can reach.
    pub(super) fn open(listen: &str) -> Result<Self, VerbsError> {
        let devices = Library::load()?.devices()?;
        let place = choose(&devices, listen.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
        let (device, port, gid) = (place.device, place.port, place.gid);
        let limits = device.limits()?;
        check(&device, &limits)?;
        tracing::info!(device = device.name(), port = port.number, gid = %gid.ip(), mtu = port.mtu, "RDMA device");

        let domain = ProtectionDomain::new(&device)?;
        let completions_max = RDMA_COMPLETIONS.min(limits.completions_max);
        let completions = CompletionQueue::new(&Channel::new(&device)?, completions_max)?;
        let receives_max = RDMA_RECEIVE_BUFFERS.min(limits.receives_max);
        let receives = ReceiveQueue::new(&domain, receives_max, MESSAGE_BYTES_MAX)
            .or_else(|_| ReceiveQueue::new(&domain, RDMA_RECEIVE_BUFFERS_FEW, MESSAGE_BYTES_MAX))?;
        Ok(Self {
            window: u8::try_from(receives.count() / SHARE).unwrap_or(u8::MAX).max(1),
            receives,
            completions,
            domain,
            port,
            gid,
            works_max: completions_max.saturating_sub(receives_max).into(),
            reads_asked: RDMA_READS_IN_FLIGHT.min(limits.reads_asked_max),
            reads_answered: RDMA_READS_IN_FLIGHT.min(limits.reads_answered_max),
            window_range_checked: limits.window_range_checked,
        })
    }

    pub(super) fn queue_pair(&self) -> Result<QueuePair, VerbsError> {
        let sizes = QueuePairSizes {
            works: RDMA_QUEUE_WORKS,
            gather: GATHER_SLICES_MAX as u32,
            inline_bytes: RDMA_INLINE_BYTES_MAX as u32,
        };
        QueuePair::new(&self.domain, &self.completions, &self.receives, sizes)
    }
}

fn check(device: &Device, limits: &DeviceLimits) -> Result<(), VerbsError> {
    let lacks = |what| Err(VerbsError::Lacks { device: device.name().into(), what });
    if !limits.windows {
        return lacks("give single peers access to memory (no memory windows of type 2B)");
    }
    if !limits.atomics {
        return lacks("do atomic operations");
    }
    if limits.gather_max < GATHER_SLICES_MAX as u32 {
        return lacks("gather 16 ranges into one transfer");
    }
    if u64::from(limits.queue_works_max) < u64::from(RDMA_QUEUE_WORKS)
        || limits.completions_max <= limits.receives_max.min(RDMA_RECEIVE_BUFFERS)
        || RDMA_QUEUE_WORKS_FOR_GRANTS >= RDMA_QUEUE_WORKS.into()
    {
        return lacks("hold 1024 work requests for one connection");
    }
    Ok(())
}

/// GIDs appear some time after their IP addresses, so the listening one is waited for, a little.
fn choose(devices: &[Arc<Device>], listen: Option<IpAddr>) -> Result<Place, VerbsError> {
    let end = Instant::now() + Duration::from_millis(RDMA_GID_WAIT_MS);
    let wanted = listen.filter(|ip| !ip.is_unspecified());
    loop {
        let mut places = usable(devices)?;
        if let Some(at) = places.iter().position(|place| Some(place.gid.ip()) == wanted) {
            return Ok(places.swap_remove(at));
        }
        if Instant::now() < end && (places.is_empty() || wanted.is_some()) {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        // An address that only this machine knows is no use to the others.
        let here_only = |place: &Place| place.gid.kind == GidKind::RoceV2 && local(place.gid.ip());
        let best = places.into_iter().min_by_key(|place| (here_only(place), !place.gid.ip().is_ipv4()));
        return best.ok_or_else(|| VerbsError::NoPort { what: describe(devices) });
    }
}

fn local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

fn usable(devices: &[Arc<Device>]) -> Result<Vec<Place>, VerbsError> {
    let mut places = Vec::new();
    for device in devices {
        for port in device.ports()?.into_iter().filter(|port| port.active) {
            places.extend(device.gids(&port).into_iter().map(|gid| Place {
                device: Arc::clone(device),
                port,
                gid,
            }));
        }
    }
    Ok(places)
}

fn describe(devices: &[Arc<Device>]) -> String {
    let each =
        devices.iter().map(|device| format!("{} has no active port with an IP address", device.name()));
    each.collect::<Vec<_>>().join(", ")
}
