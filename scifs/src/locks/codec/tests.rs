//! Golden bytes, and bytes that nobody should have sent.

use scios::rpc::Writer;
use scios::rpc::codec::decode;

use super::*;

const OWNER: LocalOwner = LocalOwner { space: Space::Flock, id: 7 };
const RANGE: Range = Range { start: 1, end: 2 };

fn bytes(message: &Message) -> Vec<u8> {
    let mut to = Writer::new();
    message.encode(&mut to);
    to.finish().unwrap().to_vec()
}

fn examples() -> Vec<Body> {
    let owner = Owner { node: MemberNo(3), local: OWNER };
    let waiter = WaiterId { node: MemberNo(3), token: Token(9) };
    let acquire = Acquire {
        owner: OWNER,
        pid: 4,
        range: RANGE,
        kind: Kind::Write,
        wait: true,
        seek: false,
        since: Epoch(5),
        token: Token(9),
    };
    let held = vec![HeldPart { owner, pid: 4, since: 6, range: RANGE, kind: Kind::Read }];
    let waiting = vec![WaitingPart { node: MemberNo(3), place: 8, jumps: true, acquire }];
    let edge = |why| Edge { inode: 1, waiter, from: owner, to: owner, why };
    let conflict = Conflict { kind: Kind::Read, range: RANGE, pid: 4, node: MemberNo(3) };
    let asks = [
        Ask::Acquire(acquire),
        Ask::Lower { owner: OWNER, range: RANGE, to: Some(Kind::Read), token: Token(9) },
        Ask::Cancel { token: Token(9) },
        Ask::Test { owner: OWNER, range: RANGE, kind: Kind::Read, token: Token(9) },
        Ask::Sync { token: Token(9) },
        Ask::Edges { search: 2, token: Token(9) },
        Ask::Jump { search: 2, waiter },
    ];
    let verdicts = [
        Verdict::Granted,
        Verdict::Refused(Refusal::WouldBlock),
        Verdict::Refused(Refusal::Deadlock),
        Verdict::Refused(Refusal::Interrupted),
        Verdict::Refused(Refusal::TooMany),
        Verdict::Done,
        Verdict::Cancelled,
        Verdict::Tested(None),
        Verdict::Tested(Some(conflict)),
    ];
    let mut all = vec![
        Body::Table { inode: 1, parts: TableParts { clock: 9, held, waiting }, granted: vec![Token(9)] },
        Body::Moved { inode: 1, to: MemberNo(3) },
        Body::Confirm { inode: 1 },
        Body::Seek(Seek { waiter, owner: OWNER }),
        Body::WhatWaits { search: 2, owner: OWNER, only: Some(Token(9)) },
        Body::Waits { search: 2, requests: 3 },
        Body::Edges {
            search: 2,
            edges: vec![edge(Why::Holds { since: 6 }), edge(Why::WaitsBefore { place: 8 })],
            last: true,
        },
        Body::Doomed { search: 2, token: Token(9) },
        Body::Over { search: 2 },
        Body::Report {
            held: vec![HeldReport { inode: 1, owner: OWNER, pid: 4, range: RANGE, kind: Kind::Write }],
            last: false,
        },
    ];
    all.extend(asks.iter().map(|ask| Body::Forward { inode: 1, by: MemberNo(3), ask: ask.clone() }));
    all.extend(asks.into_iter().map(|ask| Body::Ask { inode: 1, ask }));
    all.extend(verdicts.into_iter().map(|verdict| Body::Answer { token: Token(9), verdict }));
    all
}

#[test]
fn every_message_survives_being_sent() {
    for body in examples() {
        let message = Message { epoch: Epoch(11), body };
        assert_eq!(decode::<Message>(&bytes(&message)), Ok(message));
    }
}

#[test]
fn layouts_stay_as_they_are() {
    let word = |value: u64| value.to_le_bytes();
    let lower = Ask::Lower { owner: OWNER, range: RANGE, to: None, token: Token(9) };
    let message = Message { epoch: Epoch(11), body: Body::Forward { inode: 5, by: MemberNo(3), ask: lower } };
    let expected =
        [&word(11)[..], &[1], &word(5), &[3, 0, 0, 0], &[1, 1], &word(7), &word(1), &word(2), &[0], &word(9)];
    assert_eq!(bytes(&message), expected.concat());
    // A sum of all examples' bytes: whoever changes a layout has to raise PROTOCOL_VERSION.
    let all = examples().into_iter().flat_map(|body| bytes(&Message { epoch: Epoch(11), body }));
    let sum = all
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(sum, GOLDEN, "{sum:#x}");
}

const GOLDEN: u64 = 0x3181_2add_aed0_fdf8;

/// Truncated or changed bytes give an error or another message, never a panic; nor does the engine panic on what comes out.
#[test]
fn broken_bytes_harm_nobody() {
    use super::super::{Input, LockEngine};
    use crate::coherence::{Member, View};
    let members = (0..4).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
    let (mut engine, _) = LockEngine::new(MemberNo(0), View { epoch: Epoch(11), members, handed_over: None });
    for body in examples() {
        let sound = bytes(&Message { epoch: Epoch(11), body });
        for at in 0..sound.len() {
            assert!(decode::<Message>(&sound[..at]).is_err());
            for flip in [1, 0x40, 0x80, 0xff] {
                let mut broken = sound.clone();
                broken[at] ^= flip;
                if let Ok(message) = decode::<Message>(&broken) {
                    engine.handle(Input::Message { from: MemberNo(1), message });
                }
            }
        }
    }
}
