//! The frames that sessions really send, byte by byte as `WIRE.md` has them.

use super::pair::{A, B, FENCED, PLAIN, Pair};
use crate::Epoch;
use crate::limits::MESSAGE_BYTES_MAX;

/// type, flags; kind; deadline; id; epoch.
fn header(head: [u8; 2], kind: [u8; 2], deadline: [u8; 4], id: [u8; 2], epoch: u8) -> Vec<u8> {
    let id = [&id[..], &[0; 6]].concat();
    [&head[..], &kind, &deadline, &id, &[epoch], &[0; 7]].concat()
}

const KIND_300: [u8; 2] = [0x2c, 0x01];
const SECOND_US: [u8; 4] = [0x40, 0x42, 0x0f, 0x00];
const NONE: [u8; 4] = [0; 4];
const FIRST_ID: [u8; 2] = [0x00, 0x10];

#[test]
fn a_request_its_reply_and_its_cancel() {
    let mut pair = Pair::new();
    let call = pair.call(A, &FENCED, b"?", 7);
    let request = [header([1, 4], KIND_300, SECOND_US, FIRST_ID, 1), b"?".to_vec()].concat();
    assert_eq!(pair.sides[A].pipe[0], request);
    pair.run();
    let id = pair.take_request(B);
    pair.reply(B, id, true, b"!");
    let reply = [header([3, 4], [0x2e, 0x01], NONE, FIRST_ID, 1), b"!".to_vec()].concat();
    assert_eq!(pair.sides[B].pipe[0], reply);
    pair.cancel(A, call);
    assert_eq!(pair.sides[A].pipe[0], header([5, 0], KIND_300, NONE, FIRST_ID, 1));
}

#[test]
fn a_one_way_message_and_its_refusal() {
    let mut pair = Pair::new();
    pair.sides[B].session.set_epoch(Epoch(3));
    pair.one_way(A, true, b"news").unwrap();
    let news = [header([2, 4], [0x2d, 0x01], NONE, [1, 0], 1), b"news".to_vec()].concat();
    assert_eq!(pair.sides[A].pipe[0], news);
    pair.deliver(B);
    let refusal = [header([4, 8], [0x2d, 0x01], NONE, [1, 0], 3), vec![1, 0, 0, 0, 0]].concat();
    assert_eq!(pair.sides[B].pipe[0], refusal);
}

#[test]
fn a_long_message() {
    let mut pair = Pair::new();
    pair.call(A, &PLAIN, &[9; 140_000], 7);
    let frames = &pair.sides[A].pipe;
    let lengths: Vec<_> = frames.iter().map(Vec::len).collect();
    let whole = MESSAGE_BYTES_MAX - 24;
    assert_eq!(lengths, [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, 24 + 140_000 - (whole - 4) - whole]);
    let first = header([1, 1], KIND_300, SECOND_US, FIRST_ID, 1);
    assert_eq!(frames[0][..29], [&first[..], &[0xe0, 0x22, 0x02, 0x00, 9]].concat());
    let between = header([1, 3], KIND_300, SECOND_US, FIRST_ID, 1);
    assert_eq!(frames[1][..25], [&between[..], &[9]].concat());
    let last = header([1, 2], KIND_300, SECOND_US, FIRST_ID, 1);
    assert_eq!(frames[2][..25], [&last[..], &[9]].concat());
}
