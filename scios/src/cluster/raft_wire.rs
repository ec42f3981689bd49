//! The consensus library's messages in our own layout (`rpc/WIRE.md`): nothing of a peer is parsed by protobuf.

use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};

use crate::limits::{APPEND_ENTRIES_MAX, COMMAND_BYTES_MAX, MEMBERS_MAX, SNAPSHOT_BYTES_MAX};
use crate::rpc::codec::{DecodeError, Reader, Writer};

/// A command with its frame, or the context of a configuration change of every member.
const ENTRY_BYTES_MAX: usize = COMMAND_BYTES_MAX + 1024;
const CONTEXT_BYTES_MAX: usize = 32;

/// The kinds that travel; the library's others are local to a node, or features that are not used.
const KINDS: [MessageType; 11] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

pub(super) fn travels(kind: MessageType) -> bool {
    kind != MessageType::MsgTransferLeader && KINDS.contains(&kind)
}

pub(super) fn put_message(to: &mut Writer, m: &Message) {
    let kind = KINDS.iter().position(|k| *k == m.get_msg_type()).map_or(u8::MAX, |at| at as u8);
    to.u8(kind);
    to.u64(m.term);
    to.u64(m.log_term);
    to.u64(m.index);
    to.u64(m.commit);
    to.u64(m.commit_term);
    to.bool(m.reject);
    to.u64(m.reject_hint);
    to.bytes("context", &m.context, CONTEXT_BYTES_MAX);
    to.list("log entries", &m.entries, APPEND_ENTRIES_MAX, put_entry);
    let snapshot = m.snapshot.as_ref().filter(|s| !s.is_empty());
    to.option(snapshot, put_snapshot);
}

/// `from` and `to` are not on the wire: the connection says who the peers are.
pub(super) fn get_message(from: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let kind = from.u8()?;
    let Some(kind) = KINDS.get(usize::from(kind)).copied().filter(|k| travels(*k)) else {
        return Err(DecodeError::Invalid { what: "consensus message", value: u64::from(kind) });
    };
    let mut m = Message::default();
    m.set_msg_type(kind);
    m.term = from.u64()?;
    m.log_term = from.u64()?;
    m.index = from.u64()?;
    m.commit = from.u64()?;
    m.commit_term = from.u64()?;
    m.reject = from.bool()?;
    m.reject_hint = from.u64()?;
    m.context = from.bytes("context", CONTEXT_BYTES_MAX)?.to_vec().into();
    m.entries = from.list("log entries", APPEND_ENTRIES_MAX, get_entry)?.into();
    if let Some(snapshot) = from.option(get_snapshot)? {
        m.set_snapshot(snapshot);
    }
    Ok(m)
}

fn put_entry(to: &mut Writer, e: &Entry) {
    to.u8(match e.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    });
    to.u64(e.term);
    to.u64(e.index);
    to.bytes("log entry", &e.data, ENTRY_BYTES_MAX);
    to.bytes("log entry's context", &e.context, ENTRY_BYTES_MAX);
}

fn get_entry(from: &mut Reader<'_>) -> Result<Entry, DecodeError> {
    let mut e = Entry::default();
    e.set_entry_type(match from.u8()? {
        0 => EntryType::EntryNormal,
        2 => EntryType::EntryConfChangeV2,
        other => return Err(DecodeError::Invalid { what: "kind of log entry", value: u64::from(other) }),
    });
    e.term = from.u64()?;
    e.index = from.u64()?;
    e.data = from.bytes("log entry", ENTRY_BYTES_MAX)?.to_vec().into();
    e.context = from.bytes("log entry's context", ENTRY_BYTES_MAX)?.to_vec().into();
    Ok(e)
}

fn put_snapshot(to: &mut Writer, s: &Snapshot) {
    let meta = s.get_metadata();
    to.u64(meta.index);
    to.u64(meta.term);
    put_conf(to, meta.get_conf_state());
    to.bytes("snapshot", &s.data, SNAPSHOT_BYTES_MAX);
}

fn get_snapshot(from: &mut Reader<'_>) -> Result<Snapshot, DecodeError> {
    let mut s = Snapshot::default();
    s.mut_metadata().index = from.u64()?;
    s.mut_metadata().term = from.u64()?;
    s.mut_metadata().set_conf_state(get_conf(from)?);
    s.data = from.bytes("snapshot", SNAPSHOT_BYTES_MAX)?.to_vec().into();
    Ok(s)
}

fn put_conf(to: &mut Writer, c: &ConfState) {
    for list in [&c.voters, &c.learners, &c.voters_outgoing, &c.learners_next] {
        to.list("configuration", list, 2 * MEMBERS_MAX, |to, id| to.u64(*id));
    }
    to.bool(c.auto_leave);
}

fn get_conf(from: &mut Reader<'_>) -> Result<ConfState, DecodeError> {
    let mut ids = || from.list("configuration", 2 * MEMBERS_MAX, Reader::u64);
    let (voters, learners, voters_outgoing, learners_next) = (ids()?, ids()?, ids()?, ids()?);
    let auto_leave = from.bool()?;
    Ok(ConfState { voters, learners, voters_outgoing, learners_next, auto_leave, ..ConfState::default() })
}
