//! Messages that are longer than a frame, and fragments that make no sense.

use super::pair::{A, B, IDEMPOTENT, PLAIN, Pair, Seen, done};
use crate::limits::{MESSAGE_BYTES_MAX, RPC_MESSAGE_BYTES_MAX};
use crate::rpc::error::Violation;
use crate::rpc::frame::{FRAME_PAYLOAD_BYTES_MAX, Flags, FrameType, Header};
use crate::rpc::session::{Received, Session};
use crate::{Epoch, Nanos};

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[test]
fn messages_of_every_length_arrive_whole() {
    let max = FRAME_PAYLOAD_BYTES_MAX;
    for bytes in [0, 1, max - 1, max, max + 1, 2 * max - 4, 2 * max - 3, RPC_MESSAGE_BYTES_MAX] {
        let (question, answer) = (pattern(bytes), pattern(bytes / 2 + 1));
        let mut pair = Pair::new();
        pair.call(A, &PLAIN, &question, 7);
        assert!(pair.sides[A].pipe.iter().all(|frame| frame.len() <= MESSAGE_BYTES_MAX));
        pair.run();
        let seen = pair.take_seen(B);
        let [Seen::Request { id, payload, .. }] = &seen[..] else { panic!("{bytes} bytes: {seen:?}") };
        assert!(*payload == question);
        pair.reply(B, *id, false, &answer);
        pair.run();
        assert_eq!(pair.take_seen(A), done(7, &answer));
    }
}

#[test]
fn a_long_message_that_was_cut_off_is_sent_whole_again() {
    let mut pair = Pair::new();
    let question = pattern(3 * FRAME_PAYLOAD_BYTES_MAX);
    pair.call(A, &IDEMPOTENT, &question, 7);
    assert!(pair.deliver(B));
    pair.disconnect();
    pair.connect();
    pair.run();
    let seen = pair.take_seen(B);
    assert!(matches!(&seen[..], [Seen::Request { payload, .. }] if *payload == question));
}

fn frame(flags: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        frame_type: FrameType::OneWay,
        flags: Flags(flags),
        kind: 300,
        deadline_us: 0,
        id,
        epoch: Epoch(1),
    };
    [&header.to_bytes()[..], payload].concat()
}

fn session() -> Session<u32> {
    let mut session = Session::new(Epoch(1));
    session.up(Nanos(1));
    session
}

#[test]
fn a_message_that_claims_too_much_takes_no_memory() {
    let claim = (RPC_MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes();
    let first = frame(Flags::MORE, 1, &[&claim[..], b"x"].concat());
    let refused = session().receive(Nanos(1), &first).unwrap_err();
    assert_eq!(refused, Violation::MessageTooLong { bytes: RPC_MESSAGE_BYTES_MAX + 1 });
}

#[test]
fn fragments_that_dont_add_up_are_refused() {
    let begin = frame(Flags::MORE, 1, &[5, 0, 0, 0, b'a', b'b']);
    let more = Flags::CONTINUED | Flags::MORE;
    let wrong = [
        frame(Flags::CONTINUED, 1, b"cd"),   // ends too early
        frame(Flags::CONTINUED, 1, b"cdef"), // is too long
        frame(more, 1, b"cde"),              // is complete and claims not to be
        frame(more, 1, b""),                 // brings nothing
    ];
    for frame in wrong {
        let mut session = session();
        assert_eq!(session.receive(Nanos(1), &begin), Ok(Received::Nothing));
        assert!(matches!(session.receive(Nanos(1), &frame), Err(Violation::Fragment { .. })));
    }
    for first in [&[5, 0, 0, 0][..], &[1, 0, 0, 0, b'a'], &[0, 0, 0, 0, b'a'], &[1, 2, 3]] {
        assert!(session().receive(Nanos(1), &frame(Flags::MORE, 1, first)).is_err());
    }
}

#[test]
fn a_fragment_of_nothing_that_was_begun_is_left_over_and_ignored() {
    let mut session = session();
    let stray = frame(Flags::CONTINUED, 9, b"left over");
    assert_eq!(session.receive(Nanos(1), &stray), Ok(Received::Nothing));
    let begin = frame(Flags::MORE, 1, &[5, 0, 0, 0, b'a', b'b']);
    assert_eq!(session.receive(Nanos(1), &begin), Ok(Received::Nothing));
    assert_eq!(session.receive(Nanos(1), &stray), Ok(Received::Nothing));
    let end = frame(Flags::CONTINUED, 1, b"cde");
    let received = session.receive(Nanos(1), &end).unwrap();
    assert!(matches!(received, Received::OneWay(message) if *message.payload == *b"abcde"));
}
