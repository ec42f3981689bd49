//! Changes of who votes and who learns, and how they travel in the log: in the context of a configuration entry, in our
//! own layout.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType};

use crate::NodeId;
use crate::rpc::codec::{DecodeError, Reader, Writer};

/// One change of who votes and who learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Vote(NodeId),
    Learn(NodeId),
    Remove(NodeId),
}

pub(super) fn single(change: &Change) -> ConfChangeSingle {
    let (kind, id) = match change {
        Change::Vote(id) => (ConfChangeType::AddNode, id),
        Change::Learn(id) => (ConfChangeType::AddLearnerNode, id),
        Change::Remove(id) => (ConfChangeType::RemoveNode, id),
    };
    let mut single = ConfChangeSingle::default();
    single.set_change_type(kind);
    single.node_id = id.get();
    single
}

pub(super) fn put_change(to: &mut Writer, change: &Change) {
    let (kind, id) = match change {
        Change::Vote(id) => (0, id),
        Change::Learn(id) => (1, id),
        Change::Remove(id) => (2, id),
    };
    to.u8(kind);
    to.node(*id);
}

pub(super) fn decode_changes(context: &[u8]) -> Result<Vec<Change>, DecodeError> {
    if context.is_empty() {
        return Ok(Vec::new());
    }
    let mut from = Reader::new(context);
    let changes = from.list("changes of the configuration", context.len(), |from| {
        let (kind, id) = (from.u8()?, from.node()?);
        Ok(match kind {
            0 => Change::Vote(id),
            1 => Change::Learn(id),
            2 => Change::Remove(id),
            other => return Err(DecodeError::Invalid { what: "change", value: u64::from(other) }),
        })
    })?;
    from.end()?;
    Ok(changes)
}
