//! The calls under way to one peer.
//!
//! ```text
//!          call                    reply, error, deadline, cancel
//!   free ────────▶ Sent ──────────────────────────────────────────▶ free
//!                  │  ▲
//!        "not yet",│  │ retry_at has come and the peer is up,
//!   peer down and  │  │ or the peer comes up
//!      idempotent  ▼  │
//!                 Waiting ──────── deadline, cancel, abandon ──────▶ free
//! ```
//! A call that isn't idempotent only waits when it certainly was not run.

use std::time::Duration;

use crate::Nanos;
use crate::limits::{RPC_CALLS_MAX, RPC_SPARE_BYTES_MAX};

/// What a caller asks for, beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSpec {
    pub kind: u16,
    pub fenced: bool,
    pub idempotent: bool,
    /// From now; at most `RPC_DEADLINE_MAX_MS`.
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallState {
    Sent,
    Waiting { retry_at: Nanos },
}

#[derive(Debug)]
pub(super) struct Call<C> {
    pub token: C,
    pub spec: CallSpec,
    pub deadline: Nanos,
    pub state: CallState,
    /// All of the request has been given to the fabric since the peer came up.
    pub reached: bool,
    /// An earlier connection may have carried it to the peer, which may have run it.
    pub ran_before: bool,
    /// The frame with all of its payload, if it may have to be sent again. It keeps the epoch of its caller's decision.
    pub kept: Vec<u8>,
}

impl<C> Call<C> {
    pub(super) fn may_have_run(&self) -> bool {
        self.reached || self.ran_before
    }

    /// When something has to be done about the call if nothing is heard.
    pub(super) fn alarm(&self) -> Nanos {
        match self.state {
            CallState::Sent => self.deadline,
            CallState::Waiting { retry_at } => self.deadline.min(retry_at),
        }
    }
}

const SLOT_BITS: u32 = 12;
const _: () = assert!(RPC_CALLS_MAX <= 1 << SLOT_BITS);

#[derive(Debug)]
struct Slot<C> {
    /// How many calls have had this slot: with it, an id is never used twice.
    serial: u64,
    call: Option<Call<C>>,
    /// The memory of the last call's copy.
    spare: Vec<u8>,
}

/// A slab: an id says where its call is, so that finding it costs one comparison.
#[derive(Debug)]
pub(super) struct Calls<C> {
    slots: Vec<Slot<C>>,
    free: Vec<u16>,
}

impl<C> Calls<C> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A new id for a call, whose `kept` gets the memory of an earlier one. Gives the token back when full.
    pub(super) fn insert(&mut self, mut call: Call<C>) -> Result<u64, C> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < RPC_CALLS_MAX => {
                self.slots.push(Slot { serial: 0, call: None, spare: Vec::new() });
                (self.slots.len() - 1) as u16
            }
            None => return Err(call.token),
        };
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return Err(call.token) };
        slot.serial += 1;
        call.kept = std::mem::take(&mut slot.spare);
        slot.call = Some(call);
        Ok(slot.serial << SLOT_BITS | u64::from(index))
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Call<C>> {
        let slot = self.slots.get_mut(Self::index(id))?;
        if slot.serial == id >> SLOT_BITS { slot.call.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Call<C>> {
        let index = Self::index(id);
        let slot = self.slots.get_mut(index)?;
        if slot.serial != id >> SLOT_BITS {
            return None;
        }
        let mut call = slot.call.take()?;
        let mut spare = std::mem::take(&mut call.kept);
        if spare.capacity() <= RPC_SPARE_BYTES_MAX {
            spare.clear();
            slot.spare = spare;
        }
        self.free.push(index as u16);
        Some(call)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Call<C>)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            slot.call.as_ref().map(|call| (slot.serial << SLOT_BITS | index as u64, call))
        })
    }

    /// The ids of the calls that `choose` picks, in the order of their slots.
    pub(super) fn ids(&self, choose: impl Fn(&Call<C>) -> bool) -> Vec<u64> {
        self.iter().filter(|(_, call)| choose(call)).map(|(id, _)| id).collect()
    }

    fn index(id: u64) -> usize {
        (id & ((1 << SLOT_BITS) - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call<u32> {
        let spec = CallSpec { kind: 1, fenced: false, idempotent: false, deadline: Duration::from_secs(1) };
        let state = CallState::Sent;
        let deadline = Nanos(1);
        Call { token: 7, spec, deadline, state, reached: false, ran_before: false, kept: Vec::new() }
    }

    #[test]
    fn an_id_is_never_used_twice_and_never_zero() {
        let mut calls = Calls::new();
        let first = calls.insert(call()).unwrap();
        assert_ne!(first, 0);
        assert!(calls.remove(first).is_some());
        let second = calls.insert(call()).unwrap();
        assert_ne!(first, second);
        assert!(calls.remove(first).is_none());
        assert!(calls.get_mut(first).is_none());
        assert!(calls.get_mut(second).is_some());
    }

    #[test]
    fn there_are_never_more_calls_than_the_limit() {
        let mut calls = Calls::new();
        let ids: Vec<_> = (0..RPC_CALLS_MAX).map(|_| calls.insert(call()).unwrap()).collect();
        assert_eq!(calls.insert(call()), Err(7));
        assert!(calls.remove(ids[5]).is_some());
        assert!(calls.insert(call()).is_ok());
        assert_eq!(calls.len(), RPC_CALLS_MAX);
    }

    #[test]
    fn an_id_that_a_peer_made_up_finds_nothing() {
        let mut calls = Calls::<u32>::new();
        calls.insert(call()).unwrap();
        for id in [0, 1, 0xfff, 0x1001, u64::MAX, 2 << SLOT_BITS] {
            assert!(calls.get_mut(id).is_none());
            assert!(calls.remove(id).is_none());
        }
    }
}
