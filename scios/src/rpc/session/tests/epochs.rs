//! Messages of other epochs than the receiver's.

use std::time::Duration;

use super::pair::{A, B, FENCED, PLAIN, Pair, Seen, done, failed};
use crate::Epoch;
use crate::limits::{RPC_HELD_MESSAGES_MAX, RPC_HELD_MS_MAX};
use crate::rpc::error::CallError;
use crate::rpc::frame::ErrorCode;
use crate::rpc::session::{CallSpec, Received, Session};

#[test]
fn a_fenced_request_of_an_older_epoch_is_refused_and_certainly_not_run() {
    let mut pair = Pair::new();
    pair.sides[B].session.set_epoch(Epoch(5));
    pair.call(A, &FENCED, b"question", 7);
    pair.run();
    assert_eq!(pair.take_seen(B), []);
    let error = CallError::StaleEpoch { theirs: Epoch(5), may_have_run: false };
    assert_eq!(pair.take_seen(A), failed(7, error));
}

#[test]
fn an_unfenced_message_passes_whatever_the_epoch() {
    for (ours, theirs) in [(1, 5), (5, 1)] {
        let mut pair = Pair::new();
        pair.sides[A].session.set_epoch(Epoch(ours));
        pair.sides[B].session.set_epoch(Epoch(theirs));
        pair.call(A, &PLAIN, b"question", 7);
        pair.run();
        let id = pair.take_request(B);
        pair.reply(B, id, false, b"answer");
        pair.run();
        assert_eq!(pair.take_seen(A), done(7, b"answer"));
    }
}

#[test]
fn messages_of_a_newer_epoch_wait_for_it_in_their_order() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    pair.one_way(A, true, b"1").unwrap();
    pair.call(A, &FENCED, b"2", 7);
    pair.one_way(A, true, b"3").unwrap();
    pair.one_way(A, false, b"unfenced").unwrap();
    pair.run();
    let one_way = |fenced, payload: &[u8]| Seen::OneWay { epoch: Epoch(2), fenced, payload: payload.into() };
    assert_eq!(pair.take_seen(B), [one_way(false, b"unfenced")]);
    pair.sides[B].session.set_epoch(Epoch(2));
    pair.pass(Duration::from_millis(10));
    let seen = pair.take_seen(B);
    let [first, Seen::Request { payload, .. }, third] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((first, &payload[..], third), (&one_way(true, b"1"), &b"2"[..], &one_way(true, b"3")));
}

#[test]
fn a_message_that_waited_past_its_epoch_is_refused() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    pair.call(A, &FENCED, b"question", 7);
    pair.one_way(A, true, b"news").unwrap();
    pair.run();
    pair.sides[B].session.set_epoch(Epoch(3));
    pair.pass(Duration::from_millis(10));
    pair.run();
    assert_eq!(pair.take_seen(B), []);
    let theirs = Epoch(3);
    let refused = Seen::OneWayRefused { code: ErrorCode::StaleEpoch, theirs };
    let error = CallError::StaleEpoch { theirs, may_have_run: false };
    assert_eq!(pair.take_seen(A), [failed(7, error), vec![refused]].concat());
}

#[test]
fn a_request_that_the_peer_could_not_keep_is_sent_again_until_its_epoch_is_there() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    let spec = CallSpec { deadline: Duration::from_secs(60), ..FENCED };
    pair.call(A, &spec, b"question", 7);
    pair.run();
    for _ in 0..5 {
        pair.pass(Duration::from_millis(RPC_HELD_MS_MAX));
        pair.run();
    }
    assert_eq!(pair.take_seen(A), []);
    assert_eq!(pair.take_seen(B), []);
    // The view that the caller decided in counts, not the one in which it is sent again.
    pair.sides[A].session.set_epoch(Epoch(3));
    pair.sides[B].session.set_epoch(Epoch(2));
    pair.pass(Duration::from_millis(100));
    pair.run();
    pair.pass(Duration::from_millis(100));
    let seen = pair.take_seen(B);
    let [Seen::Request { epoch: Epoch(2), .. }] = seen[..] else { panic!("{seen:?}") };
}

#[test]
fn what_waits_for_an_epoch_is_bounded() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    for _ in 0..=RPC_HELD_MESSAGES_MAX {
        pair.one_way(A, true, b"news").unwrap();
    }
    pair.run();
    let refused = Seen::OneWayRefused { code: ErrorCode::NotYet, theirs: Epoch(1) };
    assert_eq!(pair.take_seen(A), [refused]);
    pair.sides[B].session.set_epoch(Epoch(2));
    pair.pass(Duration::from_millis(10));
    assert_eq!(pair.take_seen(B).len(), RPC_HELD_MESSAGES_MAX);
}

#[test]
fn a_request_that_is_cancelled_while_it_waits_for_its_epoch_is_not_run() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    let call = pair.call(A, &FENCED, b"question", 7);
    pair.run();
    pair.cancel(A, call);
    pair.run();
    pair.sides[B].session.set_epoch(Epoch(2));
    pair.pass(Duration::from_millis(10));
    assert_eq!(pair.take_seen(B), []);
}

#[test]
fn a_fenced_answer_of_an_older_view_is_not_believed() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.sides[A].session.set_epoch(Epoch(2));
    pair.reply(B, id, true, b"answer");
    pair.run();
    let error = CallError::StaleEpoch { theirs: Epoch(1), may_have_run: true };
    assert_eq!(pair.take_seen(A), failed(7, error));
}

#[test]
fn a_fenced_answer_of_a_newer_view_comes_behind_what_was_sent_before_it() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.sides[B].session.set_epoch(Epoch(2));
    pair.one_way(B, true, b"news").unwrap();
    pair.reply(B, id, true, b"answer");
    pair.run();
    assert_eq!(pair.take_seen(A), []);
    pair.sides[A].session.set_epoch(Epoch(2));
    pair.pass(Duration::from_millis(10));
    let seen = pair.take_seen(A);
    assert!(matches!(&seen[..], [Seen::OneWay { .. }, Seen::Done { token: 7, result: Ok(_) }]), "{seen:?}");
}

#[test]
fn an_epoch_never_goes_back() {
    let mut pair = Pair::new();
    pair.sides[B].session.set_epoch(Epoch(5));
    pair.sides[B].session.set_epoch(Epoch(1));
    pair.one_way(A, true, b"old").unwrap();
    pair.run();
    assert_eq!(pair.take_seen(B), []);
}

#[test]
fn what_comes_while_waiting_messages_are_being_delivered_goes_behind_them() {
    let mut pair = Pair::new();
    pair.sides[A].session.set_epoch(Epoch(2));
    for payload in [b"1", b"2"] {
        pair.one_way(A, true, payload).unwrap();
    }
    pair.run();
    pair.one_way(A, true, b"3").unwrap();
    pair.one_way(A, false, b"unfenced").unwrap();
    let late: Vec<_> = pair.sides[A].pipe.drain(..).collect();
    let (now, session) = (pair.now, &mut pair.sides[B].session);
    session.set_epoch(Epoch(2));
    assert!(session.start_release());
    assert!(!session.start_release(), "two threads would deliver at once");
    let mut seen = Vec::new();
    let mut release = |session: &mut Session<u32>| match session.next_released(now) {
        Some(Ok(Received::OneWay(message))) => seen.push(message.payload.to_vec()),
        other => assert!(other.is_none(), "{other:?}"),
    };
    release(session);
    for frame in &late {
        assert_eq!(session.receive(now, frame), Ok(Received::Nothing));
    }
    (0..4).for_each(|_| release(session));
    assert_eq!(seen, [&b"1"[..], b"2", b"3", b"unfenced"]);
    assert!(!session.start_release());
}
