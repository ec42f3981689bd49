//! A fabric that has no room.

use super::pair::{A, B, IDEMPOTENT, PLAIN, Pair, Seen, done, failed};
use crate::limits::{RPC_MESSAGE_BYTES_MAX, RPC_OUTBOX_BYTES_MAX};
use crate::rpc::error::CallError;

#[test]
fn what_the_fabric_has_no_room_for_waits_and_keeps_its_order() {
    let mut pair = Pair::new();
    pair.sides[A].room = 1;
    for payload in [b"1", b"2", b"3"] {
        pair.one_way(A, false, payload).unwrap();
    }
    pair.run();
    assert_eq!(pair.take_seen(B).len(), 1);
    pair.make_room(A, 1);
    pair.one_way(A, false, b"4").unwrap();
    pair.make_room(A, usize::MAX);
    pair.run();
    let payloads: Vec<_> = pair
        .take_seen(B)
        .into_iter()
        .map(|seen| match seen {
            Seen::OneWay { payload, .. } => payload,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(payloads, [b"2", b"3", b"4"]);
}

#[test]
fn what_waits_is_bounded_and_more_is_refused_unsent() {
    let mut pair = Pair::new();
    pair.sides[A].room = 0;
    let long = vec![0; RPC_MESSAGE_BYTES_MAX];
    let fits = RPC_OUTBOX_BYTES_MAX / (RPC_MESSAGE_BYTES_MAX + 1024);
    for token in 0..fits {
        pair.call(A, &PLAIN, &long, token as u32);
    }
    assert_eq!(pair.take_seen(A), []);
    pair.call(A, &PLAIN, &long, 99);
    assert_eq!(pair.take_seen(A), failed(99, CallError::Full));
    assert_eq!(pair.one_way(A, false, &long), Err(CallError::Full));
    pair.make_room(A, usize::MAX);
    pair.run();
    assert_eq!(pair.take_seen(B).len(), fits);
}

#[test]
fn an_answer_that_finds_no_room_ends_the_call_with_an_error() {
    let mut pair = Pair::new();
    let long = vec![0; RPC_MESSAGE_BYTES_MAX];
    for token in 0..5 {
        pair.call(A, &PLAIN, b"", token);
    }
    pair.run();
    pair.sides[B].room = 0;
    for seen in pair.take_seen(B) {
        let Seen::Request { id, .. } = seen else { panic!() };
        pair.reply(B, id, false, &long);
    }
    pair.make_room(B, usize::MAX);
    pair.run();
    let seen = pair.take_seen(A);
    let is_lost = |seen: &&Seen| matches!(seen, Seen::Done { result: Err(CallError::AnswerLost(_)), .. });
    assert_eq!((seen.len(), seen.iter().filter(is_lost).count()), (5, 2));
}

#[test]
fn a_call_that_was_still_waiting_to_be_sent_has_certainly_not_run() {
    let mut pair = Pair::new();
    pair.sides[A].room = 0;
    pair.call(A, &PLAIN, b"", 7);
    pair.disconnect();
    assert_eq!(pair.take_seen(A), failed(7, CallError::PeerLost { may_have_run: false }));
}

#[test]
fn an_idempotent_call_that_was_waiting_to_be_sent_is_sent_on_the_next_connection() {
    let mut pair = Pair::new();
    pair.sides[A].room = 0;
    pair.call(A, &IDEMPOTENT, b"question", 7);
    pair.disconnect();
    pair.sides[A].room = usize::MAX;
    pair.connect();
    pair.run();
    let id = pair.take_request(B);
    pair.reply(B, id, false, b"answer");
    pair.run();
    assert_eq!(pair.take_seen(A), done(7, b"answer"));
}
