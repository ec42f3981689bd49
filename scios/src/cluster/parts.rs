//! Snapshots that are longer than a message: cut into parts by the sender, put together by the receiver.
//!
//! A few parts are under way at a time, so that everything else still gets through to the receiver; it says how much it has
//! after each. The connection keeps the order, so a part that doesn't begin where the last one ended means that something
//! between was never sent, and is left out; it is sent again.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};

use super::wire::Talk;
use crate::NodeId;
use crate::limits::{SNAPSHOT_PART_BYTES_MAX, SNAPSHOT_PARTS_IN_FLIGHT_MAX, STATE_BYTES_MAX};

/// Snapshots on their way to members.
#[derive(Debug, Default)]
pub(super) struct Shipments(BTreeMap<NodeId, Shipment>);

#[derive(Debug)]
struct Shipment {
    message: Message,
    /// How much was sent, and how much of it has arrived.
    sent: usize,
    taken: usize,
    /// Something of it could not be sent.
    stalled: bool,
}

impl Shipments {
    /// What is to be sent at once for a message of the consensus: itself, or the first parts of its snapshot.
    pub(super) fn ship(&mut self, to: NodeId, message: Message) -> Vec<Talk> {
        let long = message.snapshot.as_ref().is_some_and(|s| s.data.len() > SNAPSHOT_PART_BYTES_MAX);
        if !long {
            return vec![Talk::Raft(Box::new(message))];
        }
        let mut shipment = Shipment { message, sent: 0, taken: 0, stalled: false };
        let first = shipment.go_on();
        self.0.insert(to, shipment);
        first
    }

    /// A member says that it has so many bytes of what is shipped to it.
    pub(super) fn taken(&mut self, by: NodeId, bytes: u64) -> Vec<Talk> {
        let Some(shipment) = self.0.get_mut(&by) else { return Vec::new() };
        let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes <= shipment.sent) else {
            return Vec::new();
        };
        if bytes < shipment.taken {
            // It has begun anew: another sender came between.
            shipment.sent = bytes;
        } else if bytes == shipment.taken {
            return Vec::new();
        }
        shipment.taken = bytes;
        shipment.go_on()
    }

    /// Something could not be sent to this member. True if it will be sent again.
    pub(super) fn stall(&mut self, to: NodeId) -> bool {
        self.0.get_mut(&to).is_some_and(|shipment| {
            shipment.stalled = true;
            true
        })
    }

    /// What is to be sent again, to whom.
    pub(super) fn resume(&mut self) -> Vec<(NodeId, Talk)> {
        let stalled = self.0.iter_mut().filter(|(_, shipment)| shipment.stalled);
        let again = stalled.flat_map(|(to, shipment)| {
            (shipment.sent, shipment.stalled) = (shipment.taken, false);
            shipment.go_on().into_iter().map(|talk| (*to, talk))
        });
        again.collect()
    }

    /// Keeps those shipments that are still wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(NodeId, u64) -> bool) {
        self.0.retain(|to, shipment| wanted(*to, shipment.message.get_snapshot().get_metadata().index));
    }

    pub(super) fn forget(&mut self, to: NodeId) {
        self.0.remove(&to);
    }
}

impl Shipment {
    /// As many parts as may be under way; when all have arrived, the message itself.
    fn go_on(&mut self) -> Vec<Talk> {
        let data = &self.message.get_snapshot().data;
        if self.taken == data.len() {
            let mut message = self.message.clone();
            message.mut_snapshot().data = Vec::new().into();
            return vec![Talk::Raft(Box::new(message))];
        }
        let end = data.len().min(self.taken + SNAPSHOT_PARTS_IN_FLIGHT_MAX * SNAPSHOT_PART_BYTES_MAX);
        let mut parts = Vec::new();
        while self.sent < end {
            let part_end = end.min(self.sent + SNAPSHOT_PART_BYTES_MAX);
            let bytes = data.get(self.sent..part_end).unwrap_or_default().to_vec();
            parts.push(Talk::Part { at: self.sent as u64, bytes });
            self.sent = part_end;
        }
        parts
    }
}

/// Parts of one snapshot, of the sender that began one last: there is one leader.
#[derive(Debug, Default)]
pub(super) struct Parts {
    from: Option<NodeId>,
    bytes: Vec<u8>,
}

impl Parts {
    /// Takes a part if it is the next one; says how much of that sender's snapshot is here.
    pub(super) fn take_in(&mut self, from: NodeId, at: u64, bytes: &[u8]) -> u64 {
        if at == 0 {
            self.from = Some(from);
            self.bytes.clear();
        }
        if self.from != Some(from) {
            return 0;
        }
        if at == self.bytes.len() as u64 && self.bytes.len() + bytes.len() <= STATE_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
        self.bytes.len() as u64
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: u64) -> NodeId {
        NodeId::new(raw).unwrap()
    }

    fn snapshot(bytes: usize) -> (Message, Vec<u8>) {
        let data: Vec<u8> = (0..bytes).map(|n| (n / 1000) as u8).collect();
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        message.mut_snapshot().data = data.clone().into();
        message.mut_snapshot().mut_metadata().index = 7;
        (message, data)
    }

    /// Delivers what is under way, losing what `lose` says, until nothing is. Gives the snapshot as it arrived.
    fn deliver(bytes: usize, mut lose: impl FnMut(usize) -> bool) -> (Option<Vec<u8>>, Vec<u8>) {
        let (message, data) = snapshot(bytes);
        let (mut shipments, mut parts, mut count) = (Shipments::default(), Parts::default(), 0);
        let mut under_way: std::collections::VecDeque<Talk> = shipments.ship(id(2), message).into();
        for _ in 0..10_000 {
            assert!(under_way.len() <= SNAPSHOT_PARTS_IN_FLIGHT_MAX);
            let Some(talk) = under_way.pop_front() else {
                under_way.extend(shipments.resume().into_iter().map(|(_, talk)| talk));
                if under_way.is_empty() {
                    break;
                }
                continue;
            };
            count += 1;
            match talk {
                _ if lose(count) => assert!(shipments.stall(id(2))),
                Talk::Part { at, bytes } => {
                    let has = parts.take_in(id(1), at, &bytes);
                    under_way.extend(shipments.taken(id(2), has));
                }
                Talk::Raft(mut message) => {
                    parts.complete(id(1), &mut message);
                    return (Some(message.get_snapshot().data.to_vec()), data);
                }
                other => panic!("{other:?}"),
            }
        }
        (None, data)
    }

    #[test]
    fn a_snapshot_arrives_whole_a_few_parts_at_a_time() {
        let part = SNAPSHOT_PART_BYTES_MAX;
        for bytes in [1, part, part + 1, 20 * part, 33 * part - 1] {
            let (arrived, data) = deliver(bytes, |_| false);
            assert!(arrived.as_ref() == Some(&data), "{bytes}");
        }
    }

    #[test]
    fn parts_that_could_not_be_sent_are_sent_again() {
        for seed in 0..5 {
            let mut random = crate::memory::testing::Random::new(seed);
            let (arrived, data) = deliver(40 * SNAPSHOT_PART_BYTES_MAX, |_| random.below(3) == 0);
            assert!(arrived == Some(data), "seed {seed}");
        }
    }

    #[test]
    fn a_receiver_that_another_sender_interrupted_gets_it_from_the_start() {
        let (message, _) = snapshot(20 * SNAPSHOT_PART_BYTES_MAX);
        let (mut shipments, mut parts) = (Shipments::default(), Parts::default());
        let first = shipments.ship(id(2), message);
        let Some(Talk::Part { at: 0, bytes }) = first.first() else { panic!("{first:?}") };
        let has = parts.take_in(id(1), 0, bytes);
        let second = shipments.taken(id(2), has);
        assert!(!second.is_empty());
        parts.take_in(id(3), 0, &[1]);
        let Some(Talk::Part { at, bytes }) = first.get(1) else { panic!("{first:?}") };
        assert_eq!(parts.take_in(id(1), *at, bytes), 0);
        let again = shipments.taken(id(2), 0);
        assert!(matches!(again.first(), Some(Talk::Part { at: 0, .. })), "{}", again.len());
    }

    #[test]
    fn nonsense_about_what_was_taken_is_ignored() {
        let (message, _) = snapshot(20 * SNAPSHOT_PART_BYTES_MAX);
        let mut shipments = Shipments::default();
        assert!(shipments.taken(id(2), 5).is_empty());
        shipments.ship(id(2), message);
        assert!(shipments.taken(id(2), u64::MAX).is_empty());
        assert!(shipments.taken(id(2), 9 * SNAPSHOT_PART_BYTES_MAX as u64).is_empty(), "not sent yet");
        shipments.retain(|to, index| (to, index) != (id(2), 7));
        assert!(!shipments.stall(id(2)));
    }
}
