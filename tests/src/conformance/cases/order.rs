//! Messages of one peer arrive once and in the order sent, whatever the wire does to packets.

use std::sync::Arc;

use scios::limits::MESSAGE_BYTES_MAX;
use scios::verbs::{Event, SendError};

use crate::conformance::lab::{Lab, Node, pattern};

const COUNT: u64 = 2_000;

fn numbered(n: u64, bytes: usize) -> Vec<u8> {
    [&n.to_le_bytes()[..], &pattern(n, bytes)].concat()
}

fn assert_numbered(node: &Node, from: &Node, size: impl Fn(u64) -> usize) {
    for (n, message) in (0..).zip(node.messages(from.id)) {
        assert!(message == numbered(n, size(n)), "message {n} is not what was sent");
    }
}

pub(super) fn messages_arrive_once_and_in_order(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    for n in 0..COUNT {
        lab.send(&a, b.id, &numbered(n, 24), &[]);
    }
    lab.wait("all messages", || b.message_count(a.id) as u64 >= COUNT);
    lab.round_trip(&a, &b);
    assert_eq!(b.message_count(a.id) as u64, COUNT + 1);
    assert_numbered_but_last(&b, &a);
}

/// All but the ping of the round trip.
fn assert_numbered_but_last(node: &Node, from: &Node) {
    let mut messages = node.messages(from.id);
    messages.pop();
    for (n, message) in (0..).zip(messages) {
        assert!(message == numbered(n, 24), "message {n} is not what was sent");
    }
}

pub(super) fn floods_in_both_directions_keep_their_order(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let size = |n: u64| (n % 7 * 300) as usize;
    for n in 0..COUNT {
        lab.send(&a, b.id, &numbered(n, size(n)), &[]);
        lab.send(&b, a.id, &numbered(n, size(n)), &[]);
    }
    let all = |to: &Node, from: &Node| to.message_count(from.id) as u64 == COUNT;
    lab.wait("all messages", || all(&a, &b) && all(&b, &a));
    assert_numbered(&a, &b, size);
    assert_numbered(&b, &a, size);
}

/// The test's thread and the receiving threads send to the same peer.
pub(super) fn what_several_threads_send_arrives_once_and_in_each_ones_order(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let c = lab.node();
    lab.join(&c, &a);
    // What c sends to a, a passes on to b from its receiving thread.
    let (fabric, to) = (Arc::clone(&a.fabric), b.id);
    let from_c = c.id;
    a.react(move |event| {
        if let Event::Message { peer, bytes } = event
            && *peer == from_c
        {
            let refused = fabric.send(to, bytes, &[]).err();
            assert!(matches!(refused, None | Some(SendError::Full)), "{refused:?}");
        }
    });
    for n in 0..500u64 {
        lab.send(&c, a.id, &[&b"c"[..], &n.to_le_bytes()].concat(), &[]);
        lab.send(&a, b.id, &[&b"a"[..], &n.to_le_bytes()].concat(), &[]);
    }
    lab.wait("all messages", || b.message_count(a.id) == 1_000);
    for origin in [b'a', b'c'] {
        let numbers: Vec<u64> = b
            .messages(a.id)
            .iter()
            .filter(|message| message[0] == origin)
            .map(|message| u64::from_le_bytes(message[1..].try_into().expect("eight bytes")))
            .collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    }
}

pub(super) fn long_and_short_messages_keep_their_order(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let size = |n: u64| if n.is_multiple_of(3) { MESSAGE_BYTES_MAX - 8 } else { n as usize };
    for n in 0..90 {
        lab.send(&a, b.id, &numbered(n, size(n)), &[]);
    }
    lab.wait("all messages", || b.message_count(a.id) == 90);
    assert_numbered(&b, &a, size);
}
