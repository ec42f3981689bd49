//! What waits for a slow peer is bounded; the sender is told, and told again when there is room.

use std::sync::Arc;

use scios::limits::{MESSAGE_BYTES_MAX, OPS_IN_FLIGHT_MAX, PLACED_BYTES_MAX, SEND_QUEUE_BYTES_MAX};
use scios::verbs::{Operation, Rights, SendError};

use crate::conformance::lab::{Lab, Node, pattern, region};

/// What networks and kernels below may hold beside our own queue: socket buffers of both sides, posted receives.
const BELOW_BYTES_MAX: usize = 64 << 20;

/// A pair that doesn't give each other up while one is held.
fn patient_pair(lab: &Lab<'_>) -> (Arc<Node>, Arc<Node>) {
    let patient = || {
        let mut config = lab.config();
        config.liveness_timeout_ms = 600_000;
        lab.node_with(config)
    };
    let (a, b) = (patient(), patient());
    lab.join(&a, &b);
    (a, b)
}

/// Sends numbered messages until the queue is full; tells how many fitted.
fn fill(from: &Node, to: &Node, bytes: usize) -> u64 {
    for n in 0.. {
        match from.fabric.send(to.id, &pattern(n, bytes), &[]) {
            Ok(()) => {
                assert!(n as usize * bytes.max(1) <= SEND_QUEUE_BYTES_MAX + BELOW_BYTES_MAX, "no bound")
            }
            Err(SendError::Full) => return n,
            Err(error) => panic!("cannot send: {error}"),
        }
    }
    unreachable!("the queue is bounded")
}

pub(super) fn a_slow_peer_costs_its_sender_errors_and_no_memory(lab: &Lab<'_>) {
    let (a, b) = patient_pair(lab);
    lab.hold(&b);
    let fitted = fill(&a, &b, MESSAGE_BYTES_MAX);
    assert_eq!(a.writables(b.id), 0);
    lab.release(&b);
    lab.wait("room again", || a.writables(b.id) == 1);
    // Nothing was lost, and what comes now comes behind it.
    lab.send(&a, b.id, b"behind", &[]);
    lab.wait("all messages", || b.message_count(a.id) as u64 == fitted + 1);
    let messages = b.messages(a.id);
    assert_eq!(messages.last().map(Vec::as_slice), Some(&b"behind"[..]));
    for (n, message) in (0..fitted).zip(messages) {
        assert!(message == pattern(n, MESSAGE_BYTES_MAX), "message {n} is not what was sent");
    }
    assert_eq!(a.writables(b.id), 1, "one Full, one Writable");
}

pub(super) fn a_slow_peer_does_not_slow_down_others(lab: &Lab<'_>) {
    let (a, b) = patient_pair(lab);
    let c = lab.node();
    lab.join(&a, &c);
    lab.hold(&b);
    fill(&a, &b, MESSAGE_BYTES_MAX);
    for _ in 0..20 {
        lab.round_trip(&a, &c);
    }
    lab.release(&b);
    lab.wait("room again", || a.writables(b.id) == 1);
}

pub(super) fn empty_messages_are_bounded_too(lab: &Lab<'_>) {
    let (a, b) = patient_pair(lab);
    lab.hold(&b);
    let fitted = fill(&a, &b, 0);
    lab.release(&b);
    lab.wait("room again", || a.writables(b.id) == 1);
    lab.wait("all messages", || b.message_count(a.id) as u64 == fitted);
}

pub(super) fn a_peer_that_goes_with_a_full_queue_is_down(lab: &Lab<'_>) {
    let (a, b) = patient_pair(lab);
    lab.hold(&b);
    fill(&a, &b, MESSAGE_BYTES_MAX);
    a.fabric.disconnect(b.id);
    lab.wait_down(&a, b.id);
    lab.release(&b);
    lab.wait_down(&b, a.id);
    lab.join(&a, &b);
    lab.round_trip(&a, &b);
}

pub(super) fn more_operations_than_fit_are_all_done_in_the_end(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 8, Rights::ALL);
    let count = OPS_IN_FLIGHT_MAX as u64 * 3;
    for op in 0..count {
        lab.post(&a, b.id, op, &Operation::FetchAdd { at: key.slice(0, 8), add: op });
    }
    lab.wait("all operations", || a.done_count(b.id) as u64 == count);
    assert_eq!(memory.whole().to_vec(), (count * (count - 1) / 2).to_le_bytes());
}

pub(super) fn more_bytes_than_fit_are_all_read_in_the_end(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, PLACED_BYTES_MAX as u64, Rights::READ);
    let bytes = pattern(5, PLACED_BYTES_MAX);
    memory.whole().write_from(&bytes).expect("in range");
    let into: Vec<_> = (0..12).map(|_| region(PLACED_BYTES_MAX as u64).whole()).collect();
    for (op, into) in (0..).zip(&into) {
        lab.post(&a, b.id, op, &Operation::Read { from: key.slice(0, PLACED_BYTES_MAX), into: into.clone() });
    }
    lab.wait("all operations", || a.done_count(b.id) == into.len());
    assert!(into.iter().all(|into| into.to_vec() == bytes));
}
