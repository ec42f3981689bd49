//! A call from its beginning to every end that it can have.

use std::time::Duration;

use super::pair::{A, B, IDEMPOTENT, PLAIN, Pair, Seen, done, failed};
use crate::limits::{RPC_CALLS_MAX, RPC_KEPT_BYTES_MAX, RPC_MESSAGE_BYTES_MAX, RPC_SERVED_MAX};
use crate::rpc::codec::Writer;
use crate::rpc::error::{CallError, Refusal};
use crate::rpc::frame::{ErrorCode, Flags, FrameType, Header};
use crate::rpc::session::{CallSpec, Received, Session};
use crate::{Epoch, Nanos};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_ends_with_its_answer() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.reply(B, id, false, b"answer");
    pair.run();
    assert_eq!(pair.take_seen(A), done(7, b"answer"));
    pair.pass(2 * SECOND);
    assert_eq!(pair.take_seen(A), []);
    assert_eq!(pair.take_seen(B), []);
}

#[test]
fn answers_may_come_in_any_order() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"1", 1);
    pair.call(A, &PLAIN, b"2", 2);
    pair.run();
    let seen = pair.take_seen(B);
    let [Seen::Request { id: first, .. }, Seen::Request { id: second, .. }] = seen[..] else { panic!() };
    pair.reply(B, second, false, b"two");
    pair.reply(B, first, false, b"one");
    pair.run();
    assert_eq!(pair.take_seen(A), [done(2, b"two"), done(1, b"one")].concat());
}

#[test]
fn a_call_ends_at_its_deadline_and_the_peer_is_told() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.pass(Duration::from_millis(999));
    assert_eq!(pair.take_seen(A), []);
    // B's own copy of the deadline is not waited for: the cancel comes first.
    pair.now = pair.now + Duration::from_millis(1);
    let mut out = Vec::new();
    pair.sides[A].session.tick(pair.now, &mut out);
    let timed_out = Err(CallError::TimedOut { may_have_run: true });
    assert_eq!(out, [Received::Completed { token: 7, result: timed_out }]);
    pair.cancel(A, 0);
    pair.run();
    assert_eq!(pair.take_seen(B), [Seen::Unwanted { id }]);
    assert!(!pair.sides[B].session.is_wanted(id));
}

#[test]
fn a_late_answer_changes_nothing() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.reply(B, id, false, b"late");
    pair.pass(2 * SECOND);
    assert_eq!(pair.take_seen(A), failed(7, CallError::TimedOut { may_have_run: true }));
    pair.run();
    assert_eq!(pair.take_seen(A), []);
}

#[test]
fn a_cancelled_call_ends_at_once_and_the_peer_is_told() {
    let mut pair = Pair::new();
    let call = pair.call(A, &PLAIN, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.cancel(A, call);
    pair.cancel(A, call);
    assert_eq!(pair.take_seen(A), failed(7, CallError::Cancelled { may_have_run: true }));
    pair.run();
    assert_eq!(pair.take_seen(B), [Seen::Unwanted { id }]);
    pair.reply(B, id, false, b"nobody asks");
    assert!(pair.sides[B].pipe.is_empty());
}

#[test]
fn a_lost_connection_ends_what_is_not_idempotent_and_says_that_it_may_have_run() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, b"question", 7);
    pair.disconnect();
    assert_eq!(pair.take_seen(A), failed(7, CallError::PeerLost { may_have_run: true }));
    pair.call(A, &PLAIN, b"question", 8);
    assert_eq!(pair.take_seen(A), failed(8, CallError::PeerLost { may_have_run: false }));
}

#[test]
fn an_idempotent_call_is_sent_again_when_the_peer_is_back() {
    let mut pair = Pair::new();
    pair.call(A, &IDEMPOTENT, b"question", 7);
    pair.disconnect();
    pair.call(A, &IDEMPOTENT, b"another", 8);
    pair.pass(SECOND / 2);
    assert_eq!(pair.take_seen(A), []);
    pair.connect();
    pair.run();
    let seen = pair.take_seen(B);
    let [Seen::Request { id: first, .. }, Seen::Request { id: second, .. }] = seen[..] else { panic!() };
    pair.reply(B, first, false, b"answer");
    pair.reply(B, second, false, b"other");
    pair.run();
    assert_eq!(pair.take_seen(A), [done(7, b"answer"), done(8, b"other")].concat());
}

#[test]
fn an_idempotent_call_ends_at_its_deadline_if_the_peer_stays_away() {
    let mut pair = Pair::new();
    pair.call(A, &IDEMPOTENT, b"question", 7);
    pair.disconnect();
    pair.call(A, &IDEMPOTENT, b"question", 8);
    pair.pass(SECOND);
    let sent = failed(7, CallError::TimedOut { may_have_run: true });
    let unsent = failed(8, CallError::TimedOut { may_have_run: false });
    assert_eq!(pair.take_seen(A), [sent, unsent].concat());
}

#[test]
fn a_request_that_is_still_running_is_not_run_again_by_a_retry() {
    let mut pair = Pair::new();
    pair.call(A, &IDEMPOTENT, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.disconnect();
    pair.connect();
    pair.run();
    assert_eq!(pair.take_seen(B), []);
    pair.reply(B, id, false, b"answer");
    pair.run();
    assert_eq!(pair.take_seen(A), done(7, b"answer"));
}

#[test]
fn an_answer_that_was_lost_with_its_connection_is_given_again() {
    let mut pair = Pair::new();
    pair.call(A, &IDEMPOTENT, b"question", 7);
    pair.run();
    let id = pair.take_request(B);
    pair.reply(B, id, false, b"lost");
    pair.disconnect();
    pair.connect();
    pair.run();
    let again = pair.take_request(B);
    assert_eq!(again, id);
    pair.reply(B, again, false, b"answer");
    pair.run();
    assert_eq!(pair.take_seen(A), done(7, b"answer"));
}

#[test]
fn every_refusal_of_the_peer_reaches_the_caller() {
    let refused = |why| CallError::Refused { why, may_have_run: false };
    let cases = [
        (ErrorCode::Busy, refused(Refusal::Busy)),
        (ErrorCode::UnknownKind, refused(Refusal::UnknownKind { kind: PLAIN.kind })),
        (ErrorCode::Malformed, refused(Refusal::Malformed("why".into()))),
        (ErrorCode::Failed, CallError::Failed("why".into())),
        (ErrorCode::AnswerLost, CallError::AnswerLost("why".into())),
    ];
    for (code, error) in cases {
        let mut pair = Pair::new();
        pair.call(A, &PLAIN, b"question", 7);
        pair.run();
        let id = pair.take_request(B);
        pair.sides[B].session.refuse(id, code, "why");
        pair.cancel(B, 0);
        pair.run();
        assert_eq!(pair.take_seen(A), failed(7, error));
    }
}

#[test]
fn no_more_calls_are_under_way_than_the_limit() {
    let mut pair = Pair::new();
    for token in 0..RPC_CALLS_MAX {
        pair.call(A, &PLAIN, b"", token as u32);
    }
    assert_eq!(pair.take_seen(A), []);
    pair.call(A, &PLAIN, b"", 9999);
    assert_eq!(pair.take_seen(A), failed(9999, CallError::TooManyCalls));
    pair.pass(SECOND);
    assert_eq!(pair.take_seen(A).len(), RPC_CALLS_MAX);
    assert_eq!(pair.sides[A].session.calls_in_flight(), 0);
}

#[test]
fn the_copies_of_requests_that_may_be_sent_again_are_bounded() {
    let mut pair = Pair::new();
    pair.disconnect();
    let long = vec![0; RPC_MESSAGE_BYTES_MAX];
    let fit = RPC_KEPT_BYTES_MAX / (RPC_MESSAGE_BYTES_MAX + 24);
    for _ in 0..2 {
        for token in 0..fit {
            pair.call(A, &IDEMPOTENT, &long, token as u32);
        }
        assert_eq!(pair.take_seen(A), []);
        pair.call(A, &IDEMPOTENT, &long, 99);
        assert_eq!(pair.take_seen(A), failed(99, CallError::TooManyCalls));
        pair.pass(SECOND);
        assert_eq!(pair.take_seen(A).len(), fit);
    }
}

#[test]
fn no_more_requests_of_a_peer_are_served_than_the_limit() {
    let mut session = Session::<u32>::new(Epoch(1));
    session.up(Nanos(1));
    let request = |id| {
        let (frame_type, flags) = (FrameType::Request, Flags(0));
        Header { frame_type, flags, kind: 300, deadline_us: 1000, id, epoch: Epoch(1) }.to_bytes()
    };
    for id in 0..RPC_SERVED_MAX as u64 {
        assert!(matches!(session.receive(Nanos(1), &request(id)), Ok(Received::Request { .. })));
    }
    assert_eq!(session.receive(Nanos(1), &request(u64::MAX)), Ok(Received::Nothing));
    let busy = session.start_sending().unwrap();
    assert_eq!((busy.bytes[0], busy.bytes[24]), (FrameType::Error as u8, ErrorCode::Busy as u8));
    let mut out = Vec::new();
    session.tick(Nanos(2_000_000), &mut out);
    assert_eq!(out.len(), RPC_SERVED_MAX);
    assert_eq!(session.requests_served(), 0);
}

#[test]
fn a_message_that_is_too_long_is_refused_where_it_is_made() {
    let mut pair = Pair::new();
    let bytes = RPC_MESSAGE_BYTES_MAX + 1;
    pair.call(A, &PLAIN, &vec![0; bytes], 7);
    assert_eq!(pair.take_seen(A), failed(7, CallError::TooLong { bytes }));
    let mut message = Writer::new();
    message.text("name", "long", 3);
    let error = pair.sides[A].session.one_way(300, false, &mut message, &[]).unwrap_err();
    assert!(matches!(error, CallError::Encode(_)));
}

#[test]
fn an_abandoned_peer_ends_every_call() {
    let mut pair = Pair::new();
    pair.call(A, &IDEMPOTENT, b"", 7);
    pair.disconnect();
    pair.call(A, &IDEMPOTENT, b"", 8);
    let mut out = Vec::new();
    pair.sides[A].session.abandon(|may_have_run| CallError::PeerLost { may_have_run }, &mut out);
    let lost = |token, may_have_run| {
        let result = Err(CallError::PeerLost { may_have_run });
        Received::Completed { token, result }
    };
    assert_eq!(out, [lost(7, true), lost(8, false)]);
}

#[test]
fn a_deadline_of_nothing_or_of_ages_is_brought_into_its_range() {
    let mut pair = Pair::new();
    pair.call(A, &CallSpec { deadline: Duration::ZERO, ..PLAIN }, b"", 7);
    pair.call(A, &CallSpec { deadline: Duration::MAX, ..PLAIN }, b"", 8);
    pair.run();
    assert_eq!(pair.take_seen(B).len(), 2);
    pair.pass(Duration::from_millis(10));
    assert_eq!(pair.take_seen(A), failed(7, CallError::TimedOut { may_have_run: true }));
}
