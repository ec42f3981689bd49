//! Golden bytes, and bytes that nobody should have sent.

use scios::rpc::Writer;
use scios::rpc::codec::decode;

use super::*;

fn bytes(message: &Message) -> Vec<u8> {
    let mut to = Writer::new();
    message.encode(&mut to);
    to.finish().unwrap().to_vec()
}

fn examples() -> Vec<Body> {
    let barrier = Key::Barrier(BarrierName::of_text("phase").unwrap());
    let word = Key::Word(Word { inode: 5, offset: 64 });
    let token = Token(9);
    let waiter = WaiterId { node: MemberNo(3), token };
    let other = WaiterId { node: MemberNo(4), token: Token(1) };
    let (round, rank) = (Round { epoch: Epoch(2), number: 7 }, Rank { epoch: Epoch(1), number: 8 });
    let report = |key, parties, rank| WaitingReport { key, token, parties, rank, asleep: rank.is_some() };
    let opened = OpenedReport { key: barrier, round, leader: other, parties: vec![waiter, other] };
    let mut all = vec![
        Body::Joined { token, rank },
        Body::Asleep { token },
        Body::Out { token, why: None },
        Body::Wake { tokens: vec![token, Token(10)], how: How::Notified, confirm: Some(6) },
        Body::Wake { tokens: vec![token], how: How::Unsure, confirm: None },
        Body::Open {
            key: barrier,
            round,
            leader: other,
            parties: vec![waiter, other],
            confirm: Some(6),
            last: true,
        },
        Body::Heard { decision: 6 },
        Body::Notified { token, woken: 2, settled: false },
        Body::NotifySettled { token },
        Body::RoundSettled { key: barrier, round },
        Body::Report { waiting: vec![report(word, 0, Some(rank))], opened: vec![opened], last: true },
        Body::Report { waiting: vec![report(barrier, 4, None)], opened: Vec::new(), last: false },
    ];
    let asks = [
        (barrier, Ask::Join { token, parties: 4 }),
        (word, Ask::Stay { token }),
        (word, Ask::Leave { token }),
        (word, Ask::Notify { token, count: 1, again: true }),
    ];
    all.extend(asks.map(|(key, ask)| Body::Ask { key, ask }));
    let whys = [
        Refusal::Changed,
        Refusal::TimedOut,
        Refusal::Interrupted,
        Refusal::Unreadable,
        Refusal::Disagree,
        Refusal::TooMany,
    ];
    all.extend(whys.map(|why| Body::Out { token, why: Some(why) }));
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
    let key = Key::Word(Word { inode: 5, offset: 64 });
    let ask = Ask::Notify { token: Token(9), count: 2, again: false };
    let message = Message { epoch: Epoch(11), body: Body::Ask { key, ask } };
    let expected = [&word(11)[..], &[0], &[0], &word(5), &word(64), &[3], &word(9), &[2, 0, 0, 0], &[0]];
    assert_eq!(bytes(&message), expected.concat());
    // A sum of all examples' bytes: whoever changes a layout has to raise PROTOCOL_VERSION.
    let all = examples().into_iter().flat_map(|body| bytes(&Message { epoch: Epoch(11), body }));
    let sum = all
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(sum, GOLDEN, "{sum:#x}");
}

const GOLDEN: u64 = 0xc08b_e904_9fdf_8ea6;

/// Truncated or changed bytes give an error or another message, never a panic; nor does the engine panic on what comes out.
#[test]
fn broken_bytes_harm_nobody() {
    use super::super::{Input, SyncEngine};
    use crate::coherence::{Member, View};
    let members = (0..5).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
    let (mut engine, _) = SyncEngine::new(MemberNo(0), View { epoch: Epoch(11), members, handed_over: None });
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
