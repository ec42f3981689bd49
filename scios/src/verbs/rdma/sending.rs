//! `Fabric::send` and `Fabric::post`: check, take over, and post at once when nothing waits.

use std::sync::Arc;

use super::ffi::Remote;
use super::job::{Job, MESSAGE_COST_BYTES, Operation, OperationKind, message_needs};
use super::link::{Link, Peer};
use super::posting::{copy_out, inline_bytes};
use super::shared::Shared;
use crate::NodeId;
use crate::limits::{
    GATHER_SLICES_MAX, MESSAGE_BYTES_MAX, OPS_IN_FLIGHT_MAX, PLACED_BYTES_MAX, SEND_QUEUE_BYTES_MAX,
};
use crate::memory::RegionSlice;
use crate::verbs::{self, OpId, RemoteSlice, SendError};

impl Shared {
    pub(super) fn send(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        let bytes = head.len() + total(body);
        if bytes > MESSAGE_BYTES_MAX || body.len() > GATHER_SLICES_MAX {
            return Err(SendError::TooLong { bytes, max: MESSAGE_BYTES_MAX });
        }
        let peer = self.peer(peer).ok_or(SendError::NotConnected(peer))?;
        let mut link = peer.link.lock();
        admit(&peer, &mut link, bytes + MESSAGE_COST_BYTES, 0)?;
        link.queued_bytes += bytes + MESSAGE_COST_BYTES;
        if link.pending.is_empty() {
            let needs = message_needs(bytes, inline_bytes(&link));
            if let Some(slot) = self.reserve(&peer, &mut link, needs) {
                let posted = self.post_message(&peer, &mut link, head, body, slot);
                return posted.map_err(|_| SendError::NotConnected(peer.id));
            }
        }
        let mut copy = vec![0; bytes];
        copy_out(&mut copy, head, body).map_err(|_| SendError::Shape)?;
        link.pending.push_back(Job::Message(copy.into()));
        Ok(())
    }

    pub(super) fn begin(
        &self,
        peer: NodeId,
        id: OpId,
        operation: &verbs::Operation<'_>,
    ) -> Result<(), SendError> {
        let shape = Shape::of(operation)?;
        let peer = self.peer(peer).ok_or(SendError::NotConnected(peer))?;
        // Before the lock: registering memory may take long, and other threads have other things to send.
        let operation = self.prepare(id, shape);
        let mut link = peer.link.lock();
        let Some(operation) = operation else {
            link.full = true;
            return Err(SendError::Full);
        };
        let head_bytes = operation.head_bytes();
        admit(&peer, &mut link, head_bytes, 1)?;
        link.queued_bytes += head_bytes;
        link.operations += 1;
        if link.pending.is_empty() {
            let needs = operation.needs(inline_bytes(&link));
            if let Some(slot) = self.reserve(&peer, &mut link, needs) {
                let posted = self.post_operation(&peer, &mut link, operation, slot);
                return posted.map_err(|_| SendError::NotConnected(peer.id));
            }
        }
        link.pending.push_back(Job::Operation(operation));
        Ok(())
    }

    /// Registers the local memory. `None` if the kernel doesn't let us lock so much.
    fn prepare(&self, id: OpId, shape: Shape<'_>) -> Option<Operation> {
        let mut operation = Operation {
            id,
            kind: shape.kind,
            sges: Vec::with_capacity(shape.local.len() + 1),
            registrations: Vec::with_capacity(shape.local.len()),
            head: shape.head.map(Into::into),
        };
        let mut cache = self.cache.lock();
        for slice in shape.local.iter().filter(|slice| slice.bytes() > 0) {
            let registration =
                cache.get(slice).inspect_err(|error| tracing::error!(%error, "cannot transfer")).ok()?;
            operation.sges.push(registration.sge(slice)?);
            if operation.registrations.last().is_none_or(|last| !Arc::ptr_eq(last, &registration)) {
                operation.registrations.push(registration);
            }
        }
        Some(operation)
    }
}

/// Whether the connection takes over so much more.
fn admit(peer: &Peer, link: &mut Link, bytes: usize, operations: usize) -> Result<(), SendError> {
    if !link.is_up() {
        return Err(SendError::NotConnected(peer.id));
    }
    if link.queued_bytes + bytes > SEND_QUEUE_BYTES_MAX || link.operations + operations > OPS_IN_FLIGHT_MAX {
        link.full = true;
        return Err(SendError::Full);
    }
    Ok(())
}

fn total(slices: &[RegionSlice]) -> usize {
    slices.iter().map(RegionSlice::bytes).sum()
}

/// An operation that has been found sound.
struct Shape<'a> {
    kind: OperationKind,
    local: &'a [RegionSlice],
    head: Option<&'a [u8]>,
}

impl<'a> Shape<'a> {
    fn of(operation: &'a verbs::Operation<'_>) -> Result<Self, SendError> {
        use verbs::Operation as Op;
        let (kind, local, head) = match operation {
            Op::Read { from, into } => {
                let local = std::slice::from_ref(into);
                (OperationKind::Read { from: transfer(from, local)? }, local, None)
            }
            Op::Write { from, into } => (OperationKind::Write { into: transfer(into, from)? }, *from, None),
            Op::WriteImm { from, into, imm } => {
                (OperationKind::WriteImm { into: transfer(into, from)?, imm: *imm }, *from, None)
            }
            Op::Place { head, from, into } => {
                if head.len() > MESSAGE_BYTES_MAX {
                    return Err(SendError::TooLong { bytes: head.len(), max: MESSAGE_BYTES_MAX });
                }
                (OperationKind::Write { into: transfer(into, from)? }, *from, Some(*head))
            }
            Op::CompareAndSwap { at, expected, new } => {
                let kind = OperationKind::CompareAndSwap { at: word(at)?, expected: *expected, new: *new };
                (kind, &[][..], None)
            }
            Op::FetchAdd { at, add } => (OperationKind::FetchAdd { at: word(at)?, add: *add }, &[][..], None),
        };
        Ok(Self { kind, local, head })
    }
}

fn transfer(remote: &RemoteSlice, local: &[RegionSlice]) -> Result<Remote, SendError> {
    let bytes = total(local);
    if bytes != remote.bytes {
        return Err(SendError::Shape);
    }
    if bytes > PLACED_BYTES_MAX {
        return Err(SendError::TooLong { bytes, max: PLACED_BYTES_MAX });
    }
    if local.len() > GATHER_SLICES_MAX {
        return Err(SendError::TooLong { bytes: local.len(), max: GATHER_SLICES_MAX });
    }
    Ok(remote_of(remote))
}

fn word(at: &RemoteSlice) -> Result<Remote, SendError> {
    let remote = remote_of(at);
    if at.bytes == 8 && remote.address.is_multiple_of(8) { Ok(remote) } else { Err(SendError::Shape) }
}

fn remote_of(slice: &RemoteSlice) -> Remote {
    // A key of more than 32 bits was never given by this fabric; neither is 0, so the peer's device denies it.
    let key = u32::try_from(slice.key.key).unwrap_or(0);
    Remote { address: slice.key.base.wrapping_add(slice.offset), key }
}
