//! Strangers and liars at the socket: each costs its own connection, and nobody else notices.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::node::{Mode, Node, Seen, pair};
use crate::NodeId;
use crate::auth::{Handshake, Local, Progress, Secret};
use crate::limits::{HANDSHAKES_MAX, MESSAGE_BYTES_MAX, PLACED_BYTES_MAX};
use crate::memory::Region;
use crate::verbs::tcp::frame::{Header, Target};
use crate::verbs::{
    ConnectError, DownReason, Fabric, FabricError, OpError, OpId, Operation, PROTOCOL_VERSION,
};

const SECRET: &str = "a secret of some length";

fn local(secret: Option<&str>) -> Arc<Local> {
    let secret = secret.map(|secret| Secret::from_bytes(secret.as_bytes()));
    Arc::new(Local::new(NodeId::random().unwrap(), "127.0.0.1:1".into(), PROTOCOL_VERSION, secret.as_ref()))
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.fabric.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A peer that is authenticated and may now misbehave.
fn intruder(node: &Node) -> (TcpStream, NodeId) {
    let (mut stream, local) = (connect(node), local(None));
    let mut handshake = Handshake::initiator(&local).unwrap();
    loop {
        stream.write_all(&handshake.take_output()).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        match handshake.receive(&byte).unwrap().1 {
            Progress::Waiting => {}
            Progress::Identified => handshake.confirm(false).unwrap(),
            Progress::Accepted => break,
            other => panic!("{other:?}"),
        }
    }
    node.expect(Seen::Up(local.id));
    (stream, local.id)
}

/// Everything that comes until the other side closes.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a way to close, too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

fn still_serves(node: &Node) {
    let (mut stream, id) = intruder(node);
    stream.write_all(Header::Message { bytes: 2 }.encode().bytes()).unwrap();
    stream.write_all(b"ok").unwrap();
    node.expect(Seen::Message(b"ok".to_vec()));
    drop(stream);
    assert!(matches!(node.next(), Seen::Down(peer, DownReason::Lost(_)) if peer == id));
}

#[test]
fn every_malformed_frame_ends_that_connection_with_a_reason() {
    let prefix = |kind: u8, bytes: u32| [[kind, 0, 0, 0], bytes.to_le_bytes()].concat();
    let target = Target { key: 1, at: 0 };
    let malformed: Vec<(&str, Vec<u8>)> = vec![
        ("unknown frame kind 200", prefix(200, 0)),
        ("more than the", prefix(1, MESSAGE_BYTES_MAX as u32 + 1)),
        ("more than the", prefix(4, PLACED_BYTES_MAX as u32 + 1)),
        ("bits set that mean nothing", vec![2, 0, 9, 0, 0, 0, 0, 0]),
        ("not asked", Header::Done { tag: 3, denied: false, value: 0 }.encode().bytes().to_vec()),
        ("not asked", Header::Data { tag: 3, bytes: 1 }.encode().bytes().to_vec()),
        ("not granted", Header::Read { tag: 0, target, bytes: 8 }.encode().bytes().to_vec()),
        ("not granted", Header::Write { tag: 0, target, bytes: 8 }.encode().bytes().to_vec()),
        ("not granted", Header::FetchAdd { tag: 0, target, add: 1 }.encode().bytes().to_vec()),
    ];
    for spin_us in [0, 50] {
        let node = Node::new(Mode { secret: None, spin_us });
        for (what, bytes) in &malformed {
            let (mut stream, id) = intruder(&node);
            stream.write_all(bytes).unwrap();
            let Seen::Down(peer, DownReason::Protocol(reason)) = node.next() else { panic!("{what}") };
            assert_eq!(peer, id);
            assert!(reason.contains(what), "{what}: {reason}");
            // A goodbye comes last.
            let rest = rest(&mut stream);
            assert_eq!(rest.get(rest.len() - 8), Some(&3), "{what}: {rest:?}");
        }
        still_serves(&node);
    }
}

#[test]
fn a_frame_cut_off_by_the_end_is_nobodys_message() {
    let node = Node::new(Mode::PLAIN);
    let (mut stream, id) = intruder(&node);
    stream.write_all(Header::Message { bytes: 100 }.encode().bytes()).unwrap();
    stream.write_all(&[0; 99]).unwrap();
    drop(stream);
    assert!(matches!(node.next(), Seen::Down(peer, DownReason::Lost(_)) if peer == id));
    still_serves(&node);
}

#[test]
fn secrets_that_differ_are_named_on_the_connecting_side() {
    let (with, without) = (Some(SECRET), None);
    let other = Some("another secret of some length");
    type Expected = fn(String) -> ConnectError;
    let cases: [(_, _, Expected); 3] = [
        (with, other, |address| ConnectError::WrongSecret { address }),
        (without, with, |address| ConnectError::SecretRequired { address }),
        (with, without, |address| ConnectError::SecretUnexpected { address }),
    ];
    for (here, there, expected) in cases {
        let a = Node::new(Mode { secret: here, spin_us: 50 });
        let b = Node::new(Mode { secret: there, spin_us: 50 });
        a.fabric.connect(&b.fabric.address()).unwrap();
        a.expect(Seen::ConnectFailed(expected(b.fabric.address())));
        assert!(b.seen_nothing_more());
    }
}

#[test]
fn other_versions_are_refused_with_both_named() {
    for secret in [None, Some(SECRET)] {
        let newer = |config: &mut crate::verbs::FabricConfig| {
            config.version = 99;
            config.secret = secret.map(|secret| Secret::from_bytes(secret.as_bytes()));
        };
        let (a, b) = (Node::new(Mode { secret, spin_us: 50 }), Node::with(newer));
        a.fabric.connect(&b.fabric.address()).unwrap();
        let address = b.fabric.address();
        a.expect(Seen::ConnectFailed(ConnectError::Version { address, ours: PROTOCOL_VERSION, theirs: 99 }));
        b.fabric.connect(&a.fabric.address()).unwrap();
        let address = a.fabric.address();
        b.expect(Seen::ConnectFailed(ConnectError::Version { address, ours: 99, theirs: PROTOCOL_VERSION }));
    }
}

#[test]
fn what_is_not_a_node_is_told_from_one() {
    let node = Node::new(Mode::PLAIN);
    type Answer = fn(TcpStream);
    let servers: [Answer; 3] = [
        |mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        },
        |mut stream| {
            let mut copy = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut stream, &mut copy);
        },
        drop,
    ];
    for server in servers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || server(listener.accept().unwrap().0));
        node.fabric.connect(&address).unwrap();
        let failed = node.next();
        assert!(
            matches!(&failed, Seen::ConnectFailed(ConnectError::NotSciFs { address: named, .. }) if *named == address),
            "{failed:?}"
        );
        thread.join().unwrap();
    }
}

#[test]
fn connecting_to_nobody_or_to_oneself_fails_with_the_address() {
    let node = Node::new(Mode::PLAIN);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    node.fabric.connect(&gone).unwrap();
    let failed = node.next();
    assert!(
        matches!(&failed, Seen::ConnectFailed(ConnectError::Unreachable { address, .. }) if *address == gone),
        "{failed:?}"
    );
    let address = node.fabric.address();
    node.fabric.connect(&address).unwrap();
    node.expect(Seen::ConnectFailed(ConnectError::Itself { address }));
    assert!(matches!(node.fabric.connect("nonsense"), Err(FabricError::Address { .. })));
    assert!(matches!(node.fabric.connect("name.invalid:1"), Err(FabricError::Resolve { .. })));
}

#[test]
fn strangers_who_say_nothing_make_room_for_those_who_do() {
    let node = Node::new(Mode::PLAIN);
    let mut silent: Vec<_> = (0..HANDSHAKES_MAX).map(|_| connect(&node)).collect();
    // One more than may wait: the oldest is closed at once, not after the timeout.
    silent.push(connect(&node));
    let mut oldest = silent.remove(0);
    assert!(rest(&mut oldest).is_empty());
    still_serves(&node);
}

#[test]
fn recorded_handshakes_bring_nobody_up() {
    let node = Node::new(Mode { secret: Some(SECRET), spin_us: 50 });
    let local = local(Some(SECRET));
    let mut handshake = Handshake::initiator(&local).unwrap();
    let hello = handshake.take_output();
    let mut stream = connect(&node);
    stream.write_all(&hello).unwrap();
    let mut byte = [0];
    while handshake.receive(&byte_of(&mut stream, &mut byte)).unwrap().1 != Progress::Identified {}
    handshake.confirm(false).unwrap();
    let confirm = handshake.take_output();
    stream.write_all(&confirm).unwrap();
    node.expect(Seen::Up(local.id));
    drop(stream);
    assert!(matches!(node.next(), Seen::Down(..)));

    let mut replay = connect(&node);
    replay.write_all(&hello).unwrap();
    replay.write_all(&confirm).unwrap();
    // It answers, for it can't know yet, and closes.
    rest(&mut replay);
    assert!(node.seen_nothing_more());
}

fn byte_of(stream: &mut TcpStream, byte: &mut [u8; 1]) -> [u8; 1] {
    stream.read_exact(byte).unwrap();
    *byte
}

#[test]
fn a_changed_byte_on_an_encrypted_connection_ends_it() {
    let node = Node::new(Mode { secret: Some(SECRET), spin_us: 0 });
    let peer = Node::new(Mode { secret: Some(SECRET), spin_us: 0 });
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (proxy.local_addr().unwrap().to_string(), node.fabric.address());
    let meddler = std::thread::spawn(move || {
        let mut from_peer = proxy.accept().unwrap().0;
        let mut to_node = TcpStream::connect(to).unwrap();
        let (mut back_from, mut back_to) = (to_node.try_clone().unwrap(), from_peer.try_clone().unwrap());
        let back = std::thread::spawn(move || std::io::copy(&mut back_from, &mut back_to).map(drop));
        let mut buffer = [0; 65_536];
        while let Ok(got) = from_peer.read(&mut buffer) {
            // Handshake messages are short; the long record gets one bit changed.
            if got > 2000 {
                buffer[1000] ^= 1;
            }
            if got == 0 || to_node.write_all(&buffer[..got]).is_err() {
                break;
            }
        }
        let _ = to_node.shutdown(std::net::Shutdown::Both);
        let _ = from_peer.shutdown(std::net::Shutdown::Both);
        let _ = back.join();
    });
    peer.fabric.connect(&address).unwrap();
    peer.expect(Seen::Up(node.id()));
    node.expect(Seen::Up(peer.id()));
    peer.fabric.send(node.id(), &[7; 4000], &[]).unwrap();
    let Seen::Down(_, DownReason::Protocol(reason)) = node.next() else { panic!("not noticed") };
    assert!(reason.contains("did not open"), "{reason}");
    assert!(matches!(peer.next(), Seen::Down(..)));
    meddler.join().unwrap();
}

#[test]
fn operations_under_way_end_before_the_peer_is_down() {
    for spin_us in [0, 50] {
        let node = Node::new(Mode { secret: None, spin_us });
        let (stream, id) = intruder(&node);
        let region = Region::new("test", 4096).unwrap();
        let key = crate::verbs::RemoteKey { key: 1, base: 0, bytes: 4096 };
        for op in 0..3 {
            let read = Operation::Read { from: key.slice(0, 4096), into: region.whole() };
            node.fabric.post(id, OpId(op), read).unwrap();
        }
        drop(stream);
        for op in 0..3 {
            node.expect(Seen::Done(OpId(op), Err(OpError::PeerLost)));
        }
        assert!(matches!(node.next(), Seen::Down(peer, DownReason::Lost(_)) if peer == id));
    }
}

#[test]
fn a_peer_that_stops_to_be_heard_is_down_after_the_timeout() {
    for spin_us in [0, 50] {
        let node = Node::with(|config| {
            config.spin_us = spin_us;
            config.liveness_timeout_ms = 200;
        });
        let (stream, id) = intruder(&node);
        // The connection stays open, but nothing comes.
        node.expect(Seen::Down(id, DownReason::Silent { timeout_ms: 200 }));
        drop(stream);
        still_serves(&node);
    }
}

#[test]
fn pings_keep_an_idle_connection_up() {
    let quick = |config: &mut crate::verbs::FabricConfig| config.liveness_timeout_ms = 200;
    let (a, b) = (Node::with(quick), Node::with(quick));
    a.fabric.connect(&b.fabric.address()).unwrap();
    a.expect(Seen::Up(b.id()));
    b.expect(Seen::Up(a.id()));
    let begun = a.fabric.now();
    a.wait_ticks(|now| now.since(begun) > Duration::from_millis(600));
    a.fabric.send(b.id(), b"alive", &[]).unwrap();
    b.expect(Seen::Message(b"alive".to_vec()));
    assert!(a.seen_nothing_more() && b.seen_nothing_more());
}

#[test]
fn a_peer_that_lost_the_connection_alone_can_come_back() {
    for spin_us in [0, 50] {
        let node = Node::new(Mode { secret: None, spin_us });
        let (kept_open, id) = intruder(&node);
        // The same node again, which says that it has no connection: the one that is up must be dead.
        let local = Arc::new(Local::new(id, "127.0.0.1:1".into(), PROTOCOL_VERSION, None));
        let mut handshake = Handshake::initiator(&local).unwrap();
        let mut stream = connect(&node);
        stream.write_all(&handshake.take_output()).unwrap();
        let mut byte = [0];
        while handshake.receive(&byte_of(&mut stream, &mut byte)).unwrap().1 != Progress::Identified {}
        handshake.confirm(false).unwrap();
        stream.write_all(&handshake.take_output()).unwrap();
        assert!(matches!(node.next(), Seen::Down(peer, DownReason::Lost(_)) if peer == id));
        node.expect(Seen::Up(id));
        drop(kept_open);
        assert!(node.seen_nothing_more());
    }
}

#[test]
fn a_slow_reader_of_its_own_reads_is_cut_off_not_buffered_for_ever() {
    let node = Node::new(Mode::PLAIN);
    let (mut stream, id) = intruder(&node);
    let region = Region::new("test", PLACED_BYTES_MAX as u64).unwrap();
    let key = node.fabric.grant(id, &region.whole(), crate::verbs::Rights::READ, crate::Nanos::MAX).unwrap();
    let target = Target { key: key.key, at: 0 };
    for tag in 0..200 {
        let read = Header::Read { tag, target, bytes: PLACED_BYTES_MAX as u32 };
        if stream.write_all(read.encode().bytes()).is_err() {
            break;
        }
    }
    let Seen::Down(_, DownReason::Protocol(reason)) = node.next() else { panic!("not cut off") };
    assert!(reason.contains("more than it takes"), "{reason}");
}

#[test]
fn grants_are_for_peers_that_are_up() {
    let (a, b) = pair(Mode::PLAIN);
    let region = Region::new("test", 4096).unwrap();
    a.fabric.stop();
    assert!(matches!(b.next(), Seen::Down(..)));
    let refused = b.fabric.grant(a.id(), &region.whole(), crate::verbs::Rights::READ, crate::Nanos::MAX);
    assert!(matches!(refused, Err(FabricError::NotConnected(peer)) if peer == a.id()));
}

#[test]
fn whoever_stalls_in_the_handshake_is_given_up_on_either_side() {
    let node = Node::new(Mode::PLAIN);
    // Drips one byte of a hello and then nothing, from the one side; accepts and then nothing, from the other.
    let mut drip = connect(&node);
    drip.write_all(b"S").unwrap();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    node.fabric.connect(&address).unwrap();
    let timeout_ms = crate::limits::HANDSHAKE_TIMEOUT_MS;
    node.expect(Seen::ConnectFailed(ConnectError::Timeout { address, timeout_ms }));
    assert!(rest(&mut drip).is_empty());
}

/// A spinning receiver asks the connection that spoke last, again and again, and takes the busiest one from the poller. It
/// used to go on with that after it had closed the connection itself: as long as the peer didn't close too, nobody else was
/// heard, and no tick came.
#[test]
fn a_busy_connection_that_is_closed_here_holds_up_nobody() {
    let node = Node::new(Mode { secret: None, spin_us: 20_000_000 });
    let (mut stream, id) = intruder(&node);
    for n in 0..100u8 {
        stream.write_all(Header::Message { bytes: 1 }.encode().bytes()).unwrap();
        stream.write_all(&[n]).unwrap();
        node.expect(Seen::Message(vec![n]));
    }
    node.fabric.disconnect(id);
    node.expect(Seen::Down(id, DownReason::Closed));
    still_serves(&node);
    drop(stream);
}

/// The busiest connection is watched by the poller again before the receiver sleeps.
#[test]
fn a_busy_connection_is_heard_after_a_pause() {
    let node = Node::new(Mode { secret: None, spin_us: 1 });
    let (mut stream, _) = intruder(&node);
    for n in 0..200u8 {
        stream.write_all(Header::Message { bytes: 1 }.encode().bytes()).unwrap();
        stream.write_all(&[n]).unwrap();
        if n % 50 == 49 {
            let mut ticks = 0;
            let mut last = crate::Nanos::ZERO;
            while ticks < 3 {
                node.wait_ticks(|now| now > last);
                last = crate::Nanos::monotonic();
                ticks += 1;
            }
        }
        node.expect(Seen::Message(vec![n]));
    }
}
