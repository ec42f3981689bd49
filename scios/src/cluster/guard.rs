//! Refuses messages that the consensus library would answer with a panic.
//!
//! The library assumes that a message was made by its own kind: it asserts that entries follow each other, that nobody
//! contradicts what was committed, that configurations make sense. A peer's bytes may say anything, so each of these
//! assumptions is checked here first. A message that fails costs its sender the message, nothing else: no correct
//! member ever sends one.

use std::collections::BTreeSet;

use raft::eraftpb::{ConfState, Message, MessageType, Snapshot};
use raft::{RawNode, Storage};
use thiserror::Error;

use crate::limits::RAFT_NUMBER_MAX;

/// What the library writes into the context of a vote request that follows a transfer of the leadership.
pub(super) const TRANSFER: &[u8] = raft::CAMPAIGN_TRANSFER;

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("consensus message of a peer refused: {0}")]
pub(super) struct Nonsense(pub(super) &'static str);

fn require(holds: bool, what: &'static str) -> Result<(), Nonsense> {
    if holds { Ok(()) } else { Err(Nonsense(what)) }
}

/// Whether `m` may be given to `node`. `m.from` and `m.to` have been set by the receiver itself.
pub(super) fn check<S: Storage>(node: &RawNode<S>, m: &Message) -> Result<(), Nonsense> {
    use MessageType as T;
    require(super::raft_wire::travels(m.get_msg_type()), "a kind that does not travel")?;
    require(m.from != m.to && m.from != 0, "sent by this node itself")?;
    require(m.term > 0, "no term")?;
    for number in [m.term, m.log_term, m.index, m.commit, m.commit_term, m.reject_hint] {
        require(number < RAFT_NUMBER_MAX, "a number beyond all counting")?;
    }
    require(m.priority == 0 && m.deprecated_priority == 0, "a priority")?;
    require(m.request_snapshot == 0, "an unasked-for request of a snapshot")?;
    let vote = matches!(m.get_msg_type(), T::MsgRequestVote | T::MsgRequestPreVote);
    require(m.context.is_empty() || (vote && m.context == TRANSFER), "a context")?;
    require(m.entries.is_empty() || m.get_msg_type() == T::MsgAppend, "unexpected entries")?;
    let snapshot = m.snapshot.as_ref().filter(|s| !s.is_empty());
    require(snapshot.is_some() == (m.get_msg_type() == T::MsgSnapshot), "an unexpected snapshot, or none")?;
    let log = &node.raft.raft_log;
    match m.get_msg_type() {
        T::MsgAppend => check_append(m),
        T::MsgHeartbeat => require(m.commit <= log.last_index(), "commits what was never sent"),
        T::MsgAppendResponse | T::MsgHeartbeatResponse => {
            require(m.index <= log.last_index(), "acknowledges what was never sent")
        }
        T::MsgSnapshot => match snapshot {
            Some(snapshot) => check_snapshot(node.raft.id, m.term, snapshot),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// (Entries before the commit index need no look: the library answers such a message without reading them.)
fn check_append(m: &Message) -> Result<(), Nonsense> {
    require((m.index == 0) == (m.log_term == 0), "an index without a term")?;
    require(m.log_term <= m.term, "a log from the future")?;
    let (mut index, mut term) = (m.index, m.log_term);
    for entry in m.entries.iter() {
        require(entry.index == index + 1, "entries that don't follow each other")?;
        require(entry.term >= term && entry.term > 0 && entry.term <= m.term, "entries of impossible terms")?;
        (index, term) = (entry.index, entry.term);
    }
    Ok(())
}

fn check_snapshot(me: u64, term: u64, snapshot: &Snapshot) -> Result<(), Nonsense> {
    let meta = snapshot.get_metadata();
    require(meta.index > 0 && meta.index < RAFT_NUMBER_MAX, "a snapshot of nothing")?;
    require(meta.term > 0 && meta.term <= term, "a snapshot of an impossible term")?;
    check_conf(me, meta.get_conf_state())
}

/// What the library calls the invariants of a configuration.
fn check_conf(me: u64, conf: &ConfState) -> Result<(), Nonsense> {
    let set = |list: &[u64]| -> Result<BTreeSet<u64>, Nonsense> {
        let set: BTreeSet<u64> = list.iter().copied().collect();
        require(set.len() == list.len() && !set.contains(&0), "a configuration that names a node twice")?;
        Ok(set)
    };
    let (voters, learners) = (set(&conf.voters)?, set(&conf.learners)?);
    let (outgoing, next) = (set(&conf.voters_outgoing)?, set(&conf.learners_next)?);
    require(!voters.is_empty(), "a configuration without voters")?;
    require(learners.is_disjoint(&voters) && learners.is_disjoint(&outgoing), "a learner that votes")?;
    require(next.is_subset(&outgoing) && next.is_disjoint(&voters), "a learner-to-be that doesn't vote")?;
    require(next.is_disjoint(&learners), "a learner that is one already")?;
    require(!conf.auto_leave, "a configuration that ends by itself")?;
    require([&voters, &learners, &outgoing].iter().any(|s| s.contains(&me)), "a snapshot for others")
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
