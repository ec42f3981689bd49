//! Snapshots that are longer than a message: cut into parts by the sender, put together by the receiver. The connection
//! keeps the order, so parts need no numbers; a part that is lost shows in a snapshot that makes no sense, which is
//! refused and sent again.

use raft::eraftpb::{Message, MessageType};

use super::wire::Talk;
use crate::NodeId;
use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_PART_BYTES_MAX};

/// What is to be sent for one message of the consensus: itself, or the parts of its snapshot and then the rest.
pub(super) fn cut(mut message: Message) -> Vec<Talk> {
    let mut pieces = Vec::new();
    let long = message.snapshot.as_ref().is_some_and(|s| s.data.len() > SNAPSHOT_PART_BYTES_MAX);
    if long {
        let data = std::mem::take(&mut message.mut_snapshot().data);
        for (at, part) in data.chunks(SNAPSHOT_PART_BYTES_MAX).enumerate() {
            pieces.push(Talk::Part { first: at == 0, bytes: part.to_vec() });
        }
    }
    pieces.push(Talk::Raft(Box::new(message)));
    pieces
}

/// Parts of one snapshot, of the sender that began one last: there is one leader.
#[derive(Debug, Default)]
pub(super) struct Parts {
    from: Option<NodeId>,
    bytes: Vec<u8>,
}

impl Parts {
    pub(super) fn take_in(&mut self, from: NodeId, first: bool, bytes: &[u8]) {
        if first {
            self.from = Some(from);
            self.bytes.clear();
        }
        if self.from == Some(from) && self.bytes.len() + bytes.len() <= SNAPSHOT_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Gives a message the snapshot that came before it.
    pub(super) fn complete(&mut self, from: NodeId, message: &mut Message) {
        let without =
            message.get_msg_type() == MessageType::MsgSnapshot && message.get_snapshot().data.is_empty();
        if without && self.from == Some(from) {
            self.from = None;
            message.mut_snapshot().data = std::mem::take(&mut self.bytes).into();
        }
    }
}
