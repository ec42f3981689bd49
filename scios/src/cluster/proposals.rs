//! Commands that this node has proposed and not seen applied. Each ends exactly once: applied, refused or given up.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use super::command::{Body, Entry};
use crate::limits::{COMMAND_BYTES_MAX, PROPOSALS_IN_FLIGHT_MAX};
use crate::rpc::codec::EncodeError;
use crate::{Nanos, NodeId};

/// Why a command came to nothing, as far as this node knows.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProposeError {
    #[error(
        "no quorum: the command was not decided within {waited_ms} ms ({detail}); it may still take effect if a \
         majority of the voters comes back"
    )]
    NoQuorum { waited_ms: u64, detail: String },
    #[error(
        "the command was not decided within {waited_ms} ms; it may still take effect: look before you retry"
    )]
    TimedOut { waited_ms: u64 },
    #[error("{max} commands of this node are undecided already; wait for one to end")]
    TooMany { max: usize },
    #[error("a command of {bytes} bytes is longer than the {max} allowed")]
    TooLong { bytes: usize, max: usize },
    #[error("this node is not a member of a cluster (any longer)")]
    NotMember,
}

/// Who waits for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The caller, who chose this number.
    Caller(u64),
    /// A node that wants to join through this one.
    Joiner(NodeId),
    /// This node itself, which wants to leave.
    Leaver,
    /// This node itself, which lost messages.
    Breaker,
}

#[derive(Debug)]
struct Pending {
    waiter: Waiter,
    body: Body,
    since: Nanos,
    deadline: Nanos,
    /// When it was given to a leader, if it was.
    sent: Option<Nanos>,
}

#[derive(Debug)]
pub(super) struct Proposals {
    me: NodeId,
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

impl Proposals {
    pub(super) fn new(me: NodeId) -> Self {
        Self { me, next: 1, pending: BTreeMap::new() }
    }

    pub(super) fn add(
        &mut self,
        now: Nanos,
        waiter: Waiter,
        body: Body,
        deadline: Nanos,
    ) -> Result<(), ProposeError> {
        if let Body::Machine(command) = &body
            && command.len() > COMMAND_BYTES_MAX
        {
            return Err(ProposeError::TooLong { bytes: command.len(), max: COMMAND_BYTES_MAX });
        }
        // The window is counted from the oldest one: so many answers are kept for a retry.
        if self.next >= self.floor() + PROPOSALS_IN_FLIGHT_MAX as u64 {
            return Err(ProposeError::TooMany { max: PROPOSALS_IN_FLIGHT_MAX });
        }
        self.pending.insert(self.next, Pending { waiter, body, since: now, deadline, sent: None });
        self.next += 1;
        Ok(())
    }

    /// Everything below has ended.
    fn floor(&self) -> u64 {
        self.pending.first_key_value().map_or(self.next, |(sequence, _)| *sequence)
    }

    pub(super) fn waits(&self, waiter: Waiter) -> bool {
        self.pending.values().any(|p| p.waiter == waiter)
    }

    /// The leader has changed, so whatever was given to the last one may be lost.
    pub(super) fn send_again(&mut self) {
        self.pending.values_mut().for_each(|p| p.sent = None);
    }

    /// The next command that was not sent, or so long ago that it is probably lost.
    pub(super) fn unsent(
        &self,
        now: Nanos,
        lost_after: Duration,
    ) -> Option<(u64, Result<Vec<u8>, EncodeError>)> {
        let (sequence, pending) =
            self.pending.iter().find(|(_, p)| p.sent.is_none_or(|at| now.since(at) >= lost_after))?;
        let (floor, body) = (self.floor(), pending.body.clone());
        let entry = Entry { proposer: self.me, sequence: *sequence, floor, body };
        Some((*sequence, entry.encode()))
    }

    pub(super) fn sent(&mut self, now: Nanos, sequence: u64) {
        if let Some(pending) = self.pending.get_mut(&sequence) {
            pending.sent = Some(now);
        }
    }

    /// It has ended. `None` if it had before.
    pub(super) fn end(&mut self, sequence: u64) -> Option<Waiter> {
        self.pending.remove(&sequence).map(|p| p.waiter)
    }

    pub(super) fn sequences(&self) -> Vec<u64> {
        self.pending.keys().copied().collect()
    }

    /// One command whose time is over, with how long it waited.
    pub(super) fn expired(&mut self, now: Nanos) -> Option<(Waiter, u64)> {
        let (sequence, _) = self.pending.iter().find(|(_, p)| p.deadline <= now)?;
        let sequence = *sequence;
        let pending = self.pending.remove(&sequence)?;
        Some((pending.waiter, now.since(pending.since).as_millis() as u64))
    }

    pub(super) fn take_all(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.pending).into_values().map(|p| p.waiter).collect()
    }
}
