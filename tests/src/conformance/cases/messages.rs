//! Messages arrive whole, whatever their size and shape, and a handler answers from within the call.

use std::sync::Arc;

use parking_lot::Mutex;
use scios::limits::{GATHER_SLICES_MAX, MESSAGE_BYTES_MAX, PAGE_BYTES};
use scios::verbs::{Event, Rights, SendError};

use crate::conformance::lab::{Lab, filled, pattern, region};

/// Every small size, the neighbours of every power of two and of every page, and a sample of the rest.
fn sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..=600).collect();
    let corners = (0..17).map(|power| 1 << power).chain((1..=16).map(|pages| pages * PAGE_BYTES));
    sizes.extend(corners.flat_map(|size| [size - 1, size, size + 1]));
    sizes.extend((600..MESSAGE_BYTES_MAX).step_by(997));
    sizes.extend([MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX]);
    sizes
}

pub(super) fn messages_of_every_size_arrive_whole(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let sizes = sizes();
    for (n, size) in sizes.iter().enumerate() {
        lab.send(&a, b.id, &pattern(n as u64, *size), &[]);
    }
    lab.wait("all messages", || b.message_count(a.id) == sizes.len());
    for (n, (size, message)) in sizes.iter().zip(b.messages(a.id)).enumerate() {
        assert!(message == pattern(n as u64, *size), "message {n} of {size} bytes is not what was sent");
    }
}

pub(super) fn heads_and_gathered_bodies_arrive_as_one_message(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let shapes: &[(usize, &[usize])] = &[
        (0, &[0]),
        (0, &[1]),
        (1, &[PAGE_BYTES]),
        (24, &[PAGE_BYTES, PAGE_BYTES]),
        (7, &[3, 0, 1, 4095, 0, 4097]),
        (1024, &[PAGE_BYTES; GATHER_SLICES_MAX]),
        (0, &[1; GATHER_SLICES_MAX]),
        (64, &[MESSAGE_BYTES_MAX - 64]),
        (1000, &[]),
    ];
    let mut expected = Vec::new();
    for (n, (head, body)) in shapes.iter().enumerate() {
        let head = pattern(n as u64, *head);
        let parts: Vec<_> =
            body.iter().zip(100..).map(|(bytes, seed)| pattern(n as u64 + seed, *bytes)).collect();
        let slices: Vec<_> = parts.iter().map(|part| filled(part)).collect();
        lab.send(&a, b.id, &head, &slices);
        expected.push([head, parts.concat()].concat());
    }
    lab.wait("all messages", || b.message_count(a.id) == shapes.len());
    assert!(b.messages(a.id) == expected);
}

pub(super) fn a_message_that_is_too_long_is_refused_and_harms_nothing(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let bytes = MESSAGE_BYTES_MAX + 1;
    let long = vec![0; bytes];
    let refused = Err(SendError::TooLong { bytes, max: MESSAGE_BYTES_MAX });
    assert_eq!(a.fabric.send(b.id, &long, &[]), refused);
    assert_eq!(a.fabric.send(b.id, &long[..1], &[filled(&long[1..])]), refused);
    lab.round_trip(&a, &b);
    assert_eq!(b.message_count(a.id), 1);
}

pub(super) fn more_slices_than_can_be_gathered_are_refused(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let slices = vec![filled(b"x"); GATHER_SLICES_MAX + 1];
    let refused = a.fabric.send(b.id, b"", &slices);
    assert!(matches!(refused, Err(SendError::Shape | SendError::TooLong { .. })), "{refused:?}");
    lab.round_trip(&a, &b);
}

pub(super) fn memory_may_change_as_soon_as_send_has_returned(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let page = region(PAGE_BYTES as u64).whole();
    for n in 0..100 {
        page.write_from(&pattern(n, PAGE_BYTES)).expect("in range");
        lab.send(&a, b.id, &[], std::slice::from_ref(&page));
    }
    page.write_from(&[0; PAGE_BYTES]).expect("in range");
    lab.wait("all messages", || b.message_count(a.id) == 100);
    for (n, message) in (0..).zip(b.messages(a.id)) {
        assert!(message == pattern(n, PAGE_BYTES), "message {n} was changed after send had returned");
    }
}

pub(super) fn nobody_is_reached_who_is_not_up(lab: &Lab<'_>) {
    let (a, b) = (lab.node(), lab.node());
    assert_eq!(a.fabric.send(b.id, b"too early", &[]), Err(SendError::NotConnected(b.id)));
    lab.join(&a, &b);
    a.fabric.disconnect(b.id);
    lab.wait_down(&a, b.id);
    assert_eq!(a.fabric.send(b.id, b"too late", &[]), Err(SendError::NotConnected(b.id)));
}

/// The thread that is told of a question is the one that sends the answer.
pub(super) fn a_handler_answers_from_within_the_call(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let threads = Arc::new(Mutex::new(Vec::new()));
    for node in [&a, &b] {
        let (fabric, threads) = (Arc::clone(&node.fabric), Arc::clone(&threads));
        node.react(move |event| {
            if let Event::Message { peer, bytes: [left, rest @ ..] } = event {
                threads.lock().push((fabric.id(), std::thread::current().id()));
                if let Some(left) = left.checked_sub(1) {
                    fabric.send(*peer, &[&[left][..], rest].concat(), &[]).expect("room for one");
                }
            }
        });
    }
    lab.send(&a, b.id, &[255, 7], &[]);
    lab.wait("the last answer", || a.message_count(b.id) + b.message_count(a.id) == 256);
    for node in [&a, &b] {
        let mut of_node: Vec<_> =
            threads.lock().iter().filter(|(id, _)| *id == node.id).map(|(_, thread)| *thread).collect();
        of_node.dedup();
        assert_eq!(of_node.len(), 1, "questions of one peer hopped between threads");
    }
}

pub(super) fn a_handler_may_call_everything(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let c = lab.node();
    let (fabric, elsewhere) = (Arc::clone(&b.fabric), c.fabric.address());
    let memory = region(PAGE_BYTES as u64);
    b.react(move |event| {
        if let Event::Message { peer, bytes: b"everything" } = event {
            fabric.register(&memory).expect("register");
            let until = fabric.now() + std::time::Duration::from_secs(60);
            let key = fabric.grant(*peer, &memory.whole(), Rights::ALL, until).expect("grant");
            fabric.revoke(*peer, &key);
            fabric.forget(memory.id());
            fabric.connect(&elsewhere).expect("connect");
            fabric.send(*peer, b"done", &[]).expect("room for one");
        }
    });
    lab.send(&a, b.id, b"everything", &[]);
    lab.wait("the answer", || a.has_message(b.id, b"done"));
    lab.wait("the new peer", || b.ups(c.id) == 1);
}
