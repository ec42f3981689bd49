//! What nodes tell each other about the cluster. One kind of message, not fenced by epochs: it is what makes epochs.
//! Layouts: `rpc/WIRE.md`.

use raft::eraftpb::Message as RaftMessage;

use super::command::Refusal;
use super::raft_wire::{get_message, put_message};
use crate::limits::{
    ADDRESS_BYTES_MAX, ANNOUNCEMENTS_PER_REPLY_MAX, COMMAND_BYTES_MAX, NODE_NAME_BYTES_MAX,
    SNAPSHOT_PART_BYTES_MAX, VOTERS_MAX,
};
use crate::rpc::codec::{DecodeError, Message, Reader, Writer};
use crate::{Epoch, Nanos, NodeId};

/// A message between members, or between a member and one that wants to be.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterMessage {
    /// The sender's cluster; 0 when it has none yet.
    pub(super) cluster: u64,
    pub(super) body: Talk,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Talk {
    /// A node wants to become a member.
    Join {
        name: String,
        address: String,
        memory: u64,
    },
    Joined(JoinAnswer),
    /// A command for the leader.
    Propose {
        entry: Vec<u8>,
    },
    /// A member wants its lease prolonged, and says what it has to give.
    Renew {
        asked: Nanos,
        free: u64,
        load: u32,
        seen: Seen,
    },
    /// The leader prolongs it. `asked` is the member's own time, given back.
    Granted {
        asked: Nanos,
        seen: Seen,
        announcements: Vec<Announcement>,
    },
    /// Only a leader can do that, and it's this one as far as the sender knows.
    NotLeader {
        leader: Option<Contact>,
    },
    /// The receiver was removed.
    Expelled {
        epoch: Epoch,
    },
    Raft(Box<RaftMessage>),
    /// A piece of the snapshot that the next consensus message of this sender leaves out.
    Part {
        at: u64,
        bytes: Vec<u8>,
    },
    /// So much of the receiver's snapshot is here.
    Taken {
        bytes: u64,
    },
    /// A leader asks whether it still is one.
    Confirm {
        term: u64,
        asked: Nanos,
    },
    Confirmed {
        term: u64,
        asked: Nanos,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JoinAnswer {
    /// It is a member, and these are the ones to talk to first.
    Welcome {
        number: u32,
        contacts: Vec<Contact>,
    },
    /// Not now; ask again.
    Later(NotNow),
    Refused(Refusal),
    /// It is a member of another cluster already.
    OtherCluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotNow {
    /// The node that was asked isn't a member itself.
    NotMember,
    /// The change didn't get through in time.
    NoQuorum,
    /// Too many others join through this member.
    Busy,
    /// An earlier run of this node counts as a member until its lease has ended.
    EarlierRun,
}

/// How to reach a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) id: NodeId,
    pub(super) address: String,
}

/// How much of a leader's announcements a member has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) term: u64,
    pub(super) version: u64,
}

/// What a member has to give, as it said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub member: NodeId,
    /// Bytes of donated memory that nothing uses.
    pub free: u64,
    /// Thousandths of its processors that are busy.
    pub load: u32,
}

impl Message for ClusterMessage {
    const KIND: u16 = 16;
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        to.u64(self.cluster);
        match &self.body {
            Talk::Join { name, address, memory } => {
                to.u8(0);
                to.text("node name", name, NODE_NAME_BYTES_MAX);
                to.text("address", address, ADDRESS_BYTES_MAX);
                to.u64(*memory);
            }
            Talk::Joined(answer) => {
                to.u8(1);
                put_answer(to, answer);
            }
            Talk::Propose { entry } => {
                to.u8(2);
                to.bytes("command", entry, ENTRY_BYTES_MAX);
            }
            Talk::Renew { asked, free, load, seen } => {
                to.u8(3);
                to.u64(asked.0);
                to.u64(*free);
                to.u32(*load);
                put_seen(to, seen);
            }
            Talk::Granted { asked, seen, announcements } => {
                to.u8(4);
                to.u64(asked.0);
                put_seen(to, seen);
                to.list("announcements", announcements, ANNOUNCEMENTS_PER_REPLY_MAX, |to, a| {
                    to.node(a.member);
                    to.u64(a.free);
                    to.u32(a.load);
                });
            }
            Talk::NotLeader { leader } => {
                to.u8(5);
                to.option(leader.as_ref(), put_contact);
            }
            Talk::Expelled { epoch } => {
                to.u8(6);
                to.epoch(*epoch);
            }
            Talk::Raft(message) => {
                to.u8(7);
                put_message(to, message);
            }
            Talk::Part { at, bytes } => {
                to.u8(10);
                to.u64(*at);
                to.bytes("part of a snapshot", bytes, SNAPSHOT_PART_BYTES_MAX);
            }
            Talk::Taken { bytes } => {
                to.u8(11);
                to.u64(*bytes);
            }
            Talk::Confirm { term, asked } => {
                to.u8(8);
                to.u64(*term);
                to.u64(asked.0);
            }
            Talk::Confirmed { term, asked } => {
                to.u8(9);
                to.u64(*term);
                to.u64(asked.0);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cluster = from.u64()?;
        let body = match from.u8()? {
            0 => Talk::Join {
                name: from.text("node name", NODE_NAME_BYTES_MAX)?.to_owned(),
                address: from.text("address", ADDRESS_BYTES_MAX)?.to_owned(),
                memory: from.u64()?,
            },
            1 => Talk::Joined(get_answer(from)?),
            2 => Talk::Propose { entry: from.bytes("command", ENTRY_BYTES_MAX)?.to_vec() },
            3 => Talk::Renew {
                asked: Nanos(from.u64()?),
                free: from.u64()?,
                load: from.u32()?,
                seen: get_seen(from)?,
            },
            4 => Talk::Granted {
                asked: Nanos(from.u64()?),
                seen: get_seen(from)?,
                announcements: from.list("announcements", ANNOUNCEMENTS_PER_REPLY_MAX, |from| {
                    Ok(Announcement { member: from.node()?, free: from.u64()?, load: from.u32()? })
                })?,
            },
            5 => Talk::NotLeader { leader: from.option(get_contact)? },
            6 => Talk::Expelled { epoch: from.epoch()? },
            7 => Talk::Raft(Box::new(get_message(from)?)),
            8 => Talk::Confirm { term: from.u64()?, asked: Nanos(from.u64()?) },
            9 => Talk::Confirmed { term: from.u64()?, asked: Nanos(from.u64()?) },
            10 => Talk::Part {
                at: from.u64()?,
                bytes: from.bytes("part of a snapshot", SNAPSHOT_PART_BYTES_MAX)?.to_vec(),
            },
            11 => Talk::Taken { bytes: from.u64()? },
            other => return Err(DecodeError::Invalid { what: "cluster message", value: u64::from(other) }),
        };
        Ok(Self { cluster, body })
    }
}

/// A command with its frame.
const ENTRY_BYTES_MAX: usize = COMMAND_BYTES_MAX + 1024;

fn put_answer(to: &mut Writer, answer: &JoinAnswer) {
    match answer {
        JoinAnswer::Welcome { number, contacts } => {
            to.u8(0);
            to.u32(*number);
            to.list("contacts", contacts, 2 * VOTERS_MAX, put_contact);
        }
        JoinAnswer::Later(why) => {
            to.u8(1);
            to.u8(match why {
                NotNow::NotMember => 0,
                NotNow::NoQuorum => 1,
                NotNow::Busy => 2,
                NotNow::EarlierRun => 3,
            });
        }
        JoinAnswer::Refused(why) => {
            to.u8(2);
            why.encode(to);
        }
        JoinAnswer::OtherCluster => to.u8(3),
    }
}

fn get_answer(from: &mut Reader<'_>) -> Result<JoinAnswer, DecodeError> {
    Ok(match from.u8()? {
        0 => JoinAnswer::Welcome {
            number: from.u32()?,
            contacts: from.list("contacts", 2 * VOTERS_MAX, get_contact)?,
        },
        1 => JoinAnswer::Later(match from.u8()? {
            0 => NotNow::NotMember,
            1 => NotNow::NoQuorum,
            2 => NotNow::Busy,
            3 => NotNow::EarlierRun,
            other => return Err(DecodeError::Invalid { what: "reason", value: u64::from(other) }),
        }),
        2 => JoinAnswer::Refused(Refusal::decode(from)?),
        3 => JoinAnswer::OtherCluster,
        other => return Err(DecodeError::Invalid { what: "answer to a join", value: u64::from(other) }),
    })
}

fn put_seen(to: &mut Writer, seen: &Seen) {
    to.u64(seen.term);
    to.u64(seen.version);
}

fn get_seen(from: &mut Reader<'_>) -> Result<Seen, DecodeError> {
    Ok(Seen { term: from.u64()?, version: from.u64()? })
}

fn put_contact(to: &mut Writer, contact: &Contact) {
    to.node(contact.id);
    to.text("address", &contact.address, ADDRESS_BYTES_MAX);
}

fn get_contact(from: &mut Reader<'_>) -> Result<Contact, DecodeError> {
    Ok(Contact { id: from.node()?, address: from.text("address", ADDRESS_BYTES_MAX)?.to_owned() })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
