//! What the replicated log carries, and what applying it answers. Bytes of both: `rpc/WIRE.md`.

use thiserror::Error;

use crate::NodeId;
use crate::limits::{ADDRESS_BYTES_MAX, COMMAND_BYTES_MAX, NODE_NAME_BYTES_MAX, RESULT_BYTES_MAX};
use crate::rpc::codec::{DecodeError, EncodeError, Reader, Writer};

/// One entry of the log: a command with its proposer's number for it, so that a retry is applied once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) proposer: NodeId,
    /// Counted by the proposer from 1; 0 for what a leader does by itself, which is idempotent.
    pub(super) sequence: u64,
    /// Results below this won't be asked for any more.
    pub(super) floor: u64,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A node wants to become a member. Proposed by the member that it asked.
    Add { id: NodeId, name: String, address: String, memory: u64 },
    /// The proposer wants to leave. Has it handed over what it held, so that nothing is lost if it goes while the departures are so
    /// many?
    Leave { handed_over_at: Option<u64> },
    /// The leader takes a member out.
    Remove { id: NodeId, cause: Cause },
    /// For the machine that is plugged in.
    Machine(Vec<u8>),
    /// Messages between two members were lost though both live. Counts as a departure, unless one has come since.
    Break { departures_seen: u64 },
}

/// Why a member is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was heard of it for the failure timeout.
    Dead,
    /// It asked to.
    Left,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What the machine answered.
    Value(Vec<u8>),
    /// The node is a member with this number.
    Added(u32),
    /// A change of the members took place.
    Changed,
    Refused(Refusal),
}

/// Why the replicated state refuses a command.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error(
        "there are two nodes of one name: {name:?} is already a member, at {address}; give this node another name="
    )]
    NameTaken { name: String, address: String },
    #[error("the cluster has {max} members, which is all it can have; let one leave first")]
    ClusterFull { max: u64 },
    #[error("this node was removed from the cluster and has to join again")]
    NotMember,
    #[error("the command was given up before it was applied")]
    Stale,
    #[error("the answer has {bytes} bytes, more than the {max} that are kept for a retry")]
    AnswerTooLong { bytes: u64, max: u64 },
}

impl Entry {
    pub(super) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut to = Writer::new();
        to.node(self.proposer);
        to.u64(self.sequence);
        to.u64(self.floor);
        match &self.body {
            Body::Add { id, name, address, memory } => {
                to.u8(1);
                to.node(*id);
                to.text("node name", name, NODE_NAME_BYTES_MAX);
                to.text("address", address, ADDRESS_BYTES_MAX);
                to.u64(*memory);
            }
            Body::Leave { handed_over_at } => {
                to.u8(2);
                put_count(&mut to, *handed_over_at);
            }
            Body::Remove { id, cause } => {
                to.u8(3);
                to.node(*id);
                to.u8(match cause {
                    Cause::Dead => 0,
                    Cause::Left => 1,
                });
            }
            Body::Machine(command) => {
                to.u8(4);
                to.bytes("command", command, COMMAND_BYTES_MAX);
            }
            Body::Break { departures_seen } => {
                to.u8(5);
                to.u64(*departures_seen);
            }
        }
        to.finish().map(<[u8]>::to_vec)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let (proposer, sequence, floor) = (from.node()?, from.u64()?, from.u64()?);
        let body = match from.u8()? {
            1 => Body::Add {
                id: from.node()?,
                name: from.text("node name", NODE_NAME_BYTES_MAX)?.to_owned(),
                address: from.text("address", ADDRESS_BYTES_MAX)?.to_owned(),
                memory: from.u64()?,
            },
            2 => Body::Leave { handed_over_at: get_count(&mut from)? },
            3 => Body::Remove {
                id: from.node()?,
                cause: match from.u8()? {
                    0 => Cause::Dead,
                    1 => Cause::Left,
                    other => {
                        return Err(DecodeError::Invalid { what: "cause", value: u64::from(other) });
                    }
                },
            },
            4 => Body::Machine(from.bytes("command", COMMAND_BYTES_MAX)?.to_vec()),
            5 => Body::Break { departures_seen: from.u64()? },
            other => return Err(DecodeError::Invalid { what: "command", value: u64::from(other) }),
        };
        from.end()?;
        Ok(Self { proposer, sequence, floor, body })
    }
}

/// A count that may be missing.
pub(super) fn put_count(to: &mut Writer, count: Option<u64>) {
    to.bool(count.is_some());
    to.u64(count.unwrap_or_default());
}

pub(super) fn get_count(from: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    let (known, count) = (from.bool()?, from.u64()?);
    Ok(known.then_some(count))
}

impl Outcome {
    pub(super) fn encode(&self, to: &mut Writer) {
        match self {
            Self::Value(bytes) => {
                to.u8(0);
                to.bytes("answer", bytes, RESULT_BYTES_MAX);
            }
            Self::Added(number) => {
                to.u8(1);
                to.u32(*number);
            }
            Self::Changed => to.u8(2),
            Self::Refused(why) => {
                to.u8(3);
                why.encode(to);
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Value(from.bytes("answer", RESULT_BYTES_MAX)?.to_vec()),
            1 => Self::Added(from.u32()?),
            2 => Self::Changed,
            3 => Self::Refused(Refusal::decode(from)?),
            other => return Err(DecodeError::Invalid { what: "outcome", value: u64::from(other) }),
        })
    }
}

impl Refusal {
    pub(super) fn encode(&self, to: &mut Writer) {
        match self {
            Self::NameTaken { name, address } => {
                to.u8(0);
                to.text("node name", name, NODE_NAME_BYTES_MAX);
                to.text("address", address, ADDRESS_BYTES_MAX);
            }
            Self::ClusterFull { max } => {
                to.u8(1);
                to.u64(*max);
            }
            Self::NotMember => to.u8(2),
            Self::Stale => to.u8(3),
            Self::AnswerTooLong { bytes, max } => {
                to.u8(4);
                to.u64(*bytes);
                to.u64(*max);
            }
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::NameTaken {
                name: from.text("node name", NODE_NAME_BYTES_MAX)?.to_owned(),
                address: from.text("address", ADDRESS_BYTES_MAX)?.to_owned(),
            },
            1 => Self::ClusterFull { max: from.u64()? },
            2 => Self::NotMember,
            3 => Self::Stale,
            4 => Self::AnswerTooLong { bytes: from.u64()?, max: from.u64()? },
            other => return Err(DecodeError::Invalid { what: "refusal", value: u64::from(other) }),
        })
    }
}
