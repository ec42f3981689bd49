//! From jobs to work requests. All of it under the lock of the connection's link.

use std::sync::atomic::Ordering;

use super::credit::NO_MESSAGE;
use super::ffi::{Payload, VerbsError, Work, WorkKind};
use super::inbox::Input;
use super::job::{Job, MESSAGE_COST_BYTES, Needs, Operation, OperationKind};
use super::link::{Flying, InFlight, Link, Peer};
use super::shared::Shared;
use super::slots::Slot;
use crate::limits::{
    RDMA_INLINE_BYTES_MAX, RDMA_QUEUE_WORKS_FOR_GRANTS, RDMA_SIGNAL_EVERY, RDMA_SIGNAL_EVERY_BUFFER,
};
use crate::memory::RegionSlice;

/// A job that was not posted because its connection has failed; the receiver has been told.
#[derive(Debug)]
pub(super) struct Broken;

impl Shared {
    /// What a job needs, if it is free. `None` for a slot means that none is needed.
    pub(super) fn reserve(&self, peer: &Peer, link: &mut Link, needs: Needs) -> Option<Option<Slot>> {
        if peer.has_failed() || needs.message && !link.credit.may_send() {
            return None;
        }
        if link.works_free(peer.completed()) < needs.works + RDMA_QUEUE_WORKS_FOR_GRANTS {
            return None;
        }
        if self.works.load(Ordering::Acquire) + needs.works > self.adapter.works_max {
            self.slots.wait(peer.number);
            return None;
        }
        match needs.slot_bytes {
            0 => Some(None),
            bytes => self.slots.take(bytes, peer.number, &mut link.held).map(Some),
        }
    }

    /// Posts what waits, as far as there is room.
    pub(super) fn post_pending(&self, peer: &Peer, link: &mut Link) {
        if !link.is_up() {
            return;
        }
        let inline_bytes = inline_bytes(link);
        while let Some(job) = link.pending.front() {
            let Some(slot) = self.reserve(peer, link, job.needs(inline_bytes)) else { return };
            let posted = match link.pending.pop_front() {
                Some(Job::Message(bytes)) => self.post_message(peer, link, &bytes, &[], slot),
                Some(Job::Operation(operation)) => self.post_operation(peer, link, operation, slot),
                None => return,
            };
            if posted.is_err() {
                return;
            }
        }
    }

    /// `slot` has been reserved for it.
    pub(super) fn post_message(
        &self,
        peer: &Peer,
        link: &mut Link,
        head: &[u8],
        body: &[RegionSlice],
        slot: Option<Slot>,
    ) -> Result<(), Broken> {
        let mut inline = [0; RDMA_INLINE_BYTES_MAX];
        let bytes = head.len() + body.iter().map(RegionSlice::bytes).sum::<usize>();
        let cost = bytes + MESSAGE_COST_BYTES;
        let Some(slot) = slot else {
            let payload = self.or_break(peer, fill_inline(&mut inline, head, body, bytes))?;
            let signaled = signals(link);
            let work = Work { id: 0, signaled, kind: send(link), payload: Payload::Inline(payload) };
            self.post(peer, link, &mut [work], Flying::Message { cost, slot: None });
            return Ok(());
        };
        let sges = [self.or_break(peer, fill_slot(&slot, head, body, bytes))?];
        // A buffer comes back with a completion, so these say so more often; each, when buffers run out. Connections that
        // fall silent thus keep less than half of the buffers.
        let signaled = slot.scarce || link.unsignaled + 1 >= RDMA_SIGNAL_EVERY_BUFFER;
        let work = Work { id: 0, signaled, kind: send(link), payload: Payload::Gather(&sges) };
        self.post(peer, link, &mut [work], Flying::Message { cost, slot: Some(slot) });
        Ok(())
    }

    pub(super) fn post_operation(
        &self,
        peer: &Peer,
        link: &mut Link,
        operation: Operation,
        slot: Option<Slot>,
    ) -> Result<(), Broken> {
        let Operation { id, kind, mut sges, registrations, head } = operation;
        let atomic = kind.is_atomic();
        let mut inline = [0; RDMA_INLINE_BYTES_MAX];
        let mut head_sge = None;
        let mut head_inline = &[][..];
        match (&head, &slot) {
            (Some(head), Some(slot)) => {
                head_sge = Some(self.or_break(peer, fill_slot(slot, head, &[], head.len()))?);
            }
            (Some(head), None) => {
                head_inline = self.or_break(peer, fill_inline(&mut inline, head, &[], head.len()))?;
            }
            (None, Some(slot)) => sges.push(self.or_break(peer, fill_slot(slot, &[0; 8], &[], 8))?),
            (None, None) => {}
        }
        let bytes = head.as_ref().map_or(0, |head| head.len());
        let flying = Flying::Operation { id, atomic, bytes, slot, registrations };
        let moves =
            Work { id: 0, signaled: head.is_none(), kind: kind.work(), payload: Payload::Gather(&sges) };
        if head.is_none() {
            if matches!(kind, OperationKind::WriteImm { .. }) {
                link.credit.note_sent();
            }
            self.post(peer, link, &mut [moves], flying);
            return Ok(());
        }
        let payload = match &head_sge {
            Some(sge) => Payload::Gather(std::slice::from_ref(sge)),
            None => Payload::Inline(head_inline),
        };
        let tells = Work { id: 0, signaled: true, kind: send(link), payload };
        self.post(peer, link, &mut [moves, tells], flying);
        Ok(())
    }

    /// Tells the peer how much has been handled, if it must know and there is room.
    pub(super) fn pay_credit(&self, peer: &Peer, link: &mut Link) {
        let needs = Needs { works: 1, message: false, slot_bytes: 0 };
        if link.is_up() && link.credit.owes() && self.reserve(peer, link, needs).is_some() {
            let kind = WorkKind::Send { imm: NO_MESSAGE | link.credit.tell() };
            let signaled = signals(link);
            let work = Work { id: 0, signaled, kind, payload: Payload::Inline(&[]) };
            self.post(peer, link, &mut [work], Flying::Other);
        }
    }

    /// Numbers the work requests and gives them to the device. They are under way then, even if it refuses them: they
    /// end with their connection.
    pub(super) fn post(&self, peer: &Peer, link: &mut Link, works: &mut [Work<'_>], what: Flying) {
        let first = link.posted + 1;
        for work in works.iter_mut() {
            link.posted += 1;
            link.unsignaled = if work.signaled { 0 } else { link.unsignaled + 1 };
            work.id = peer.work_id(link.posted);
        }
        self.works.fetch_add(works.len() as u64, Ordering::AcqRel);
        link.in_flight.push_back(InFlight { first, last: link.posted, what });
        if let Some(queue_pair) = &link.queue_pair {
            let _ended_by_receiver = self.or_break(peer, queue_pair.post(works));
        }
    }

    /// Ends the connection if `result` is an error.
    fn or_break<T>(&self, peer: &Peer, result: Result<T, VerbsError>) -> Result<T, Broken> {
        result.map_err(|error| {
            peer.note_failure();
            self.inbox.push(Input::Broken { number: peer.number, what: error.to_string() });
            Broken
        })
    }
}

/// Nothing is held until an inline message completes, so few of them need to say so.
fn signals(link: &Link) -> bool {
    link.unsignaled + 1 >= RDMA_SIGNAL_EVERY
}

/// A message; it carries how much of the peer's has been handled.
fn send(link: &mut Link) -> WorkKind<'static> {
    link.credit.note_sent();
    WorkKind::Send { imm: link.credit.tell() }
}

/// What this connection's queue pair takes inline.
pub(super) fn inline_bytes(link: &Link) -> usize {
    link.queue_pair.as_ref().map_or(0, |queue_pair| queue_pair.inline_bytes().min(RDMA_INLINE_BYTES_MAX))
}

fn misfit() -> VerbsError {
    VerbsError::Call { operation: "copying a message", source: std::io::ErrorKind::InvalidInput.into() }
}

fn fill_inline<'a>(
    buffer: &'a mut [u8],
    head: &[u8],
    body: &[RegionSlice],
    bytes: usize,
) -> Result<&'a [u8], VerbsError> {
    copy_out(buffer.get_mut(..bytes).ok_or_else(misfit)?, head, body)?;
    buffer.get(..bytes).ok_or_else(misfit)
}

fn fill_slot(
    slot: &Slot,
    head: &[u8],
    body: &[RegionSlice],
    bytes: usize,
) -> Result<super::ffi::Sge, VerbsError> {
    let part = slot.part(bytes).ok_or_else(misfit)?;
    part.write_from(head).map_err(|_| misfit())?;
    let mut at = head.len();
    for slice in body {
        let target = part.part(at, slice.bytes()).map_err(|_| misfit())?;
        target.copy_from(slice).map_err(|_| misfit())?;
        at += slice.bytes();
    }
    slot.sge(&part).ok_or_else(misfit)
}

/// Head and body, one behind the other.
pub(super) fn copy_out(into: &mut [u8], head: &[u8], body: &[RegionSlice]) -> Result<(), VerbsError> {
    let (start, mut rest) = into.split_at_mut_checked(head.len()).ok_or_else(misfit)?;
    start.copy_from_slice(head);
    for slice in body {
        let (part, after) = rest.split_at_mut_checked(slice.bytes()).ok_or_else(misfit)?;
        slice.read_to(part).map_err(|_| misfit())?;
        rest = after;
    }
    Ok(())
}
