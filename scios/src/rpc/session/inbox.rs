//! What came from one peer and can't be acted on yet: the message whose fragments are still coming, and messages of an
//! epoch that this node has not reached.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::limits::{RPC_HELD_BYTES_MAX, RPC_HELD_MESSAGES_MAX, RPC_HELD_MS_MAX, RPC_MESSAGE_BYTES_MAX};
use crate::rpc::codec::Reader;
use crate::rpc::error::Violation;
use crate::rpc::frame::{Flags, FrameType, Header};
use crate::{Epoch, Nanos};

/// A peer's frames are in order and its long messages follow one another, so one is put together at a time.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    header: Header,
    total: usize,
    bytes: Vec<u8>,
}

impl Reassembly {
    /// The payload of a whole message, as soon as there is one.
    pub(super) fn add<'a>(
        &mut self,
        header: &Header,
        payload: &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, Violation> {
        match (header.flags.has(Flags::CONTINUED), header.flags.has(Flags::MORE)) {
            (false, false) => Ok(Some(Cow::Borrowed(payload))),
            (false, true) => self.begin(header, payload).map(|()| None),
            (true, more) => self.go_on(header, payload, more),
        }
    }

    fn begin(&mut self, header: &Header, payload: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader::new(payload);
        let total = reader.u32()? as usize;
        let first = reader.rest();
        if total > RPC_MESSAGE_BYTES_MAX {
            return Err(Violation::MessageTooLong { bytes: total });
        }
        if first.is_empty() || first.len() >= total {
            return Err(Violation::Fragment { bytes: first.len(), left: total });
        }
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(first);
        self.partial = Some(Partial { header: *header, total, bytes });
        Ok(())
    }

    fn go_on<'a>(
        &mut self,
        header: &Header,
        payload: &[u8],
        more: bool,
    ) -> Result<Option<Cow<'a, [u8]>>, Violation> {
        // What doesn't go on with the message that was begun is left over from a connection that was lost.
        let Some(mut partial) = self.partial.take_if(|partial| {
            (partial.header.frame_type, partial.header.id) == (header.frame_type, header.id)
        }) else {
            return Ok(None);
        };
        let left = partial.total - partial.bytes.len();
        let fits = if more { payload.len() < left } else { payload.len() == left };
        if payload.is_empty() || !fits {
            return Err(Violation::Fragment { bytes: payload.len(), left });
        }
        partial.bytes.extend_from_slice(payload);
        if more {
            self.partial = Some(partial);
            return Ok(None);
        }
        Ok(Some(Cow::Owned(partial.bytes)))
    }

    pub(super) fn clear(&mut self) {
        self.partial = None;
    }
}

#[derive(Debug)]
pub(super) struct HeldMessage {
    pub header: Header,
    pub payload: Vec<u8>,
    pub refuse_at: Nanos,
}

/// Messages of newer epochs, in the order in which they came. Whatever fenced message comes behind one waits as well.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<HeldMessage>,
    bytes: usize,
    /// A thread is delivering from here, so whatever else comes has to go behind.
    pub(super) releasing: bool,
}

impl Held {
    pub(super) fn must_wait(&self, header: &Header, epoch: Epoch) -> bool {
        match header.frame_type {
            FrameType::Error | FrameType::Cancel => false,
            FrameType::Reply if !header.fenced() => false,
            _ if self.releasing => true,
            _ => header.fenced() && (header.epoch > epoch || !self.messages.is_empty()),
        }
    }

    /// Gives the time until which it is kept, or nothing when there is no room.
    pub(super) fn push(&mut self, now: Nanos, header: Header, payload: &[u8]) -> Option<Nanos> {
        let bytes = self.bytes + payload.len();
        if bytes > RPC_HELD_BYTES_MAX || self.messages.len() >= RPC_HELD_MESSAGES_MAX {
            return None;
        }
        self.bytes = bytes;
        let refuse_at = now + std::time::Duration::from_millis(RPC_HELD_MS_MAX);
        self.messages.push_back(HeldMessage { header, payload: payload.to_vec(), refuse_at });
        Some(refuse_at)
    }

    pub(super) fn is_ready(&self, epoch: Epoch) -> bool {
        self.first_ready(epoch).is_some()
    }

    pub(super) fn pop_ready(&mut self, epoch: Epoch) -> Option<HeldMessage> {
        self.first_ready(epoch).and_then(|at| self.remove(at))
    }

    /// Unfenced messages, which are here because somebody was delivering, pass those of later epochs: they may be what
    /// brings the epoch.
    fn first_ready(&self, epoch: Epoch) -> Option<usize> {
        match self.messages.front() {
            Some(first) if first.header.epoch <= epoch || !first.header.fenced() => Some(0),
            _ => self.messages.iter().position(|message| !message.header.fenced()),
        }
    }

    /// A message that has waited for too long.
    pub(super) fn pop_expired(&mut self, now: Nanos) -> Option<HeldMessage> {
        let expired = !self.releasing && self.messages.front().is_some_and(|m| m.refuse_at <= now);
        if expired { self.remove(0) } else { None }
    }

    fn remove(&mut self, at: usize) -> Option<HeldMessage> {
        let message = self.messages.remove(at)?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    pub(super) fn alarm(&self) -> Nanos {
        self.messages.front().map_or(Nanos::MAX, |m| m.refuse_at)
    }

    /// Forgets a request that its caller has given up. True if it was here.
    pub(super) fn cancel(&mut self, id: u64) -> bool {
        let is_it = |m: &HeldMessage| m.header.frame_type == FrameType::Request && m.header.id == id;
        let at = self.messages.iter().position(is_it);
        at.and_then(|at| self.remove(at)).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}
