//! Messages, operations and ends, plain and encrypted.

use super::node::{Mode, Node, Seen, pair};
use crate::Nanos;
use crate::limits::{MESSAGE_BYTES_MAX, PLACED_BYTES_MAX, SEND_QUEUE_BYTES_MAX};
use crate::memory::Region;
use crate::verbs::{DownReason, Fabric, OpError, OpId, Operation, Rights, SendError};

/// Plain and encrypted, spinning and with a thread for the connection.
fn in_all_modes(test: impl Fn(Mode)) {
    for secret in [None, Some("a secret of some length")] {
        for spin_us in [0, 50] {
            test(Mode { secret, spin_us });
        }
    }
}

#[test]
fn messages_of_every_length_arrive_whole_and_in_order() {
    in_all_modes(|mode| {
        let (a, b) = pair(mode);
        let region = Region::new("test", 65_536).unwrap();
        let pages: Vec<u8> = (0..65_536u32).map(|i| (i / 7) as u8).collect();
        region.whole().write_from(&pages).unwrap();
        for (head, body) in [(0, 0), (1, 0), (64, 0), (64, 4096), (0, 4096), (1024, 65_536), (66_560, 0)] {
            let head: Vec<u8> = (0..head).map(|i| i as u8).collect();
            let slices = if body == 0 { vec![] } else { vec![region.slice(0, body).unwrap()] };
            a.fabric.send(b.id(), &head, &slices).unwrap();
            let whole = [head.as_slice(), &pages[..body]].concat();
            let got = b.next();
            assert!(got == Seen::Message(whole), "{} + {body} bytes", head.len());
        }
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        let refused = a.fabric.send(b.id(), &long, &[]);
        assert_eq!(refused, Err(SendError::TooLong { bytes: long.len(), max: MESSAGE_BYTES_MAX }));
    });
}

#[test]
fn one_sided_operations_change_exactly_what_they_name() {
    in_all_modes(|mode| {
        let (a, b) = pair(mode);
        let (here, there) = (Region::new("a", 4 << 20).unwrap(), Region::new("b", 4 << 20).unwrap());
        let key = b.fabric.grant(a.id(), &there.whole(), Rights::ALL, Nanos::MAX).unwrap();
        let bytes: Vec<u8> = (0..PLACED_BYTES_MAX).map(|i| (i % 251) as u8).collect();
        here.slice(0, bytes.len()).unwrap().write_from(&bytes).unwrap();
        let from = [here.slice(0, bytes.len()).unwrap()];
        let into = key.slice(4096, bytes.len());
        a.fabric.post(b.id(), OpId(1), Operation::WriteImm { from: &from, into, imm: 9 }).unwrap();
        a.expect(Seen::Done(OpId(1), Ok(0)));
        b.expect(Seen::Written { imm: 9, bytes: bytes.len() });
        assert!(there.slice(4096, bytes.len()).unwrap().to_vec() == bytes);

        let back = here.slice(2 << 20, bytes.len()).unwrap();
        let read = Operation::Read { from: key.slice(4096, bytes.len()), into: back.clone() };
        a.fabric.post(b.id(), OpId(2), read).unwrap();
        a.expect(Seen::Done(OpId(2), Ok(0)));
        assert!(back.to_vec() == bytes);

        let place = Operation::Place { head: b"placed", from: &from, into: key.slice(0, bytes.len()) };
        a.fabric.post(b.id(), OpId(3), place).unwrap();
        a.expect(Seen::Done(OpId(3), Ok(0)));
        b.expect(Seen::Message(b"placed".to_vec()));
        assert!(there.slice(0, bytes.len()).unwrap().to_vec() == bytes);

        let at = key.slice(3 << 20, 8);
        a.fabric.post(b.id(), OpId(4), Operation::FetchAdd { at, add: 5 }).unwrap();
        a.expect(Seen::Done(OpId(4), Ok(0)));
        a.fabric.post(b.id(), OpId(5), Operation::CompareAndSwap { at, expected: 5, new: 7 }).unwrap();
        a.expect(Seen::Done(OpId(5), Ok(5)));
        a.fabric.post(b.id(), OpId(6), Operation::CompareAndSwap { at, expected: 5, new: 8 }).unwrap();
        a.expect(Seen::Done(OpId(6), Ok(7)));
        assert_eq!(there.slice(3 << 20, 8).unwrap().to_vec(), 7u64.to_le_bytes());
    });
}

#[test]
fn reaching_beyond_a_grant_is_denied_and_ends_the_connection() {
    in_all_modes(|mode| {
        let (a, b) = pair(mode);
        let region = Region::new("test", 8192).unwrap();
        let key = b.fabric.grant(a.id(), &region.slice(0, 4096).unwrap(), Rights::READ, Nanos::MAX).unwrap();
        let from = [region.slice(4096, 64).unwrap()];
        let write = Operation::Write { from: &from, into: key.slice(0, 64) };
        a.fabric.post(b.id(), OpId(1), write).unwrap();
        a.expect(Seen::Done(OpId(1), Err(OpError::Denied)));
        a.expect(Seen::Down(b.id(), DownReason::Denied));
        assert!(matches!(b.next(), Seen::Down(peer, DownReason::Protocol(_)) if peer == a.id()));
        assert_eq!(a.fabric.send(b.id(), b"", &[]), Err(SendError::NotConnected(b.id())));
    });
}

#[test]
fn a_sender_that_is_too_fast_is_told_and_told_again_when_it_may_go_on() {
    in_all_modes(|mode| {
        let (a, b) = pair(mode);
        let bytes = vec![7; MESSAGE_BYTES_MAX];
        let mut sent = 0;
        let full = loop {
            match a.fabric.send(b.id(), &bytes, &[]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent * bytes.len() < 100 * SEND_QUEUE_BYTES_MAX, "nothing ever fills up");
        };
        assert_eq!(full, SendError::Full);
        a.expect(Seen::Writable);
        a.fabric.send(b.id(), b"last", &[]).unwrap();
        for _ in 0..sent {
            assert!(b.next() == Seen::Message(bytes.clone()));
        }
        b.expect(Seen::Message(b"last".to_vec()));
    });
}

#[test]
fn a_goodbye_is_heard_as_one_and_leaves_nothing_behind() {
    in_all_modes(|mode| {
        let (a, b) = pair(mode);
        a.fabric.disconnect(b.id());
        a.expect(Seen::Down(b.id(), DownReason::Closed));
        b.expect(Seen::Down(a.id(), DownReason::Closed));
        b.fabric.connect(&a.fabric.address()).unwrap();
        b.expect(Seen::Up(a.id()));
        a.expect(Seen::Up(b.id()));
        a.fabric.stop();
        b.expect(Seen::Down(a.id(), DownReason::Closed));
        a.expect(Seen::Down(b.id(), DownReason::Closed));
        assert!(a.seen_nothing_more() && b.seen_nothing_more());
    });
}

#[test]
fn both_connecting_at_once_come_up_once() {
    for round in 0..20 {
        let (a, b) = (Node::new(Mode::PLAIN), Node::new(Mode::PLAIN));
        a.fabric.connect(&b.fabric.address()).unwrap();
        b.fabric.connect(&a.fabric.address()).unwrap();
        a.expect(Seen::Up(b.id()));
        b.expect(Seen::Up(a.id()));
        a.fabric.send(b.id(), b"once", &[]).unwrap();
        b.expect(Seen::Message(b"once".to_vec()));
        b.fabric.send(a.id(), b"twice", &[]).unwrap();
        a.expect(Seen::Message(b"twice".to_vec()));
        assert!(a.seen_nothing_more() && b.seen_nothing_more(), "round {round}");
    }
}

#[test]
fn a_peer_that_is_up_is_connected_to_no_second_time() {
    let (a, b) = pair(Mode::PLAIN);
    a.fabric.connect(&b.fabric.address()).unwrap();
    b.fabric.connect(&a.fabric.address()).unwrap();
    a.fabric.send(b.id(), b"still the same", &[]).unwrap();
    b.expect(Seen::Message(b"still the same".to_vec()));
    assert!(a.seen_nothing_more() && b.seen_nothing_more());
}
