//! A seeded corpus of mutated frames, and of mutated handshakes, on the decoders that every byte of a peer goes
//! through: no panic, no memory beyond what a connection may have, an end of the connection for each that is
//! malformed. `scios/fuzz` looks deeper; this runs with every test. `SCIOS_SEED=…` repeats a failure.
//!
//! What an error of a decoder leads to, the close with a logged reason, is shown over sockets in
//! `verbs/tcp/tests/hostile.rs`.

use std::alloc::System;
use std::sync::Arc;

use cap::Cap;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use scios::NodeId;
use scios::auth::{Handshake, Local, Progress, Secret};
use scios::limits::{HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX, PLACED_BYTES_MAX, RECEIVE_BUFFER_BYTES};
use scios::verbs::tcp::frame::{Bye, Header, Target};
use scios::verbs::tcp::inbox::{Frame, Inbox};

const MUTATED_FRAMES: usize = 1_000_000;
const MUTATED_HANDSHAKES: usize = 20_000;

/// What the test itself holds at most, beside the connection: its streams and the allocator's rounding.
const OWN_BYTES_MAX: usize = 512 << 10;

/// Everything that this program allocates is counted.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

struct Random(Xoshiro256PlusPlus);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit as u64) as usize
    }

    fn word(&mut self) -> u64 {
        self.0.next_u64()
    }
}

fn seed() -> u64 {
    let seed = std::env::var("SCIOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("SCIOS_SEED={seed}");
    seed
}

/// A frame that a peer could have sent.
fn valid(random: &mut Random) -> Header {
    let target = Target { key: random.word(), at: random.word() };
    let tag = random.word() as u32;
    let bytes = match random.below(50) {
        0 => random.below(MESSAGE_BYTES_MAX + 1),
        _ => random.below(200),
    } as u32;
    match random.below(11) {
        0 => Header::Message { bytes },
        1 => Header::Ping,
        2 => Header::Bye(Bye::Denied),
        3 => Header::Read { tag, target, bytes },
        4 => Header::Write { tag, target, bytes },
        5 => Header::WriteImm { tag, target, bytes, imm: tag },
        6 => Header::Place { head_bytes: bytes / 2, target, bytes },
        7 => Header::CompareAndSwap { tag, target, expected: 1, new: 2 },
        8 => Header::FetchAdd { tag, target, add: 3 },
        9 => Header::Data { tag, bytes },
        _ => Header::Done { tag, denied: false, value: 4 },
    }
}

/// Appends a frame that was meddled with. True when nothing could read it as a valid one.
fn mutated(random: &mut Random, stream: &mut Vec<u8>) -> bool {
    let header = valid(random);
    let start = stream.len();
    stream.extend_from_slice(header.encode().bytes());
    let header_bytes = stream.len() - start;
    stream.resize(stream.len() + header.body_bytes(), 0xa5);
    let frame = &mut stream[start..];
    match random.below(8) {
        // Any bits of the header.
        0 => {
            for _ in 0..=random.below(8) {
                frame[random.below(header_bytes)] ^= 1 << random.below(8);
            }
            false
        }
        // A length that nothing may have.
        1 => {
            let length = (PLACED_BYTES_MAX + 1 + random.below(1 << 30)) as u32;
            frame[4..8].copy_from_slice(&length.to_le_bytes());
            true
        }
        2 => {
            frame[0] = 12 + random.below(244) as u8;
            true
        }
        3 => {
            frame[2 + random.below(2)] = 1 + random.below(255) as u8;
            true
        }
        // Cut short, and what comes next is taken for its rest.
        4 => {
            let cut = random.below(frame.len());
            stream.truncate(start + cut);
            false
        }
        5 => {
            for byte in frame.iter_mut() {
                *byte = random.word() as u8;
            }
            false
        }
        6 => {
            let again = stream[start..].to_vec();
            stream.extend_from_slice(&again[..random.below(again.len() + 1)]);
            false
        }
        // Another kind with the same bytes.
        _ => {
            frame[0] = 1 + random.below(11) as u8;
            false
        }
    }
}

/// Puts all of `stream` through the decoder, in pieces; true when it ends the connection.
fn ends_connection(inbox: &mut Inbox, stream: &[u8], piece: usize) -> bool {
    for piece in stream.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = inbox.put(rest);
            assert!(taken > 0, "the buffer is full and nothing comes out");
            rest = &rest[taken..];
            loop {
                match inbox.next_frame() {
                    Ok(Some(Frame::Message(bytes))) => assert!(bytes.len() <= MESSAGE_BYTES_MAX),
                    Ok(Some(Frame::Begin { head, payload_bytes, .. })) => {
                        assert!(head.len() <= MESSAGE_BYTES_MAX && payload_bytes <= PLACED_BYTES_MAX);
                    }
                    Ok(Some(Frame::Control(_) | Frame::Payload(_))) => {}
                    Ok(None) => break,
                    Err(_) => return true,
                }
            }
        }
    }
    false
}

fn mutated_frames(random: &mut Random) {
    let before = ALLOCATOR.allocated();
    let mut inbox = Inbox::default();
    let mut stream = Vec::with_capacity(4 * MESSAGE_BYTES_MAX);
    let (mut ended, mut doomed) = (0, 0);
    // A doomed frame is only surely malformed where a frame may begin.
    let mut aligned = true;
    for frame in 0..MUTATED_FRAMES {
        stream.clear();
        let malformed = mutated(random, &mut stream);
        let piece = 1 + random.below(stream.len() + 1);
        let ends = ends_connection(&mut inbox, &stream, piece);
        if malformed && aligned {
            doomed += 1;
            assert!(ends, "frame {frame} kept its connection: {:?}", &stream[..stream.len().min(48)]);
        }
        aligned = ends || (inbox.is_empty() && inbox.payload_left() == 0);
        if ends {
            // The connection is closed; the next frame comes on another one.
            ended += 1;
            inbox = Inbox::default();
        }
        let held = ALLOCATOR.allocated().saturating_sub(before);
        assert!(held <= RECEIVE_BUFFER_BYTES + OWN_BYTES_MAX, "{held} bytes are held after frame {frame}");
    }
    println!("{MUTATED_FRAMES} frames: {ended} ended their connection, {doomed} of them had to");
    assert!(ended > MUTATED_FRAMES / 4 && doomed > MUTATED_FRAMES / 8);
}

/// One message of a handshake, as good as real, then meddled with, to a fresh node.
fn mutated_handshakes(random: &mut Random) {
    let node = |id, secret: Option<&[u8]>| {
        let secret = secret.map(Secret::from_bytes);
        let id = NodeId::new(id).expect("not zero");
        Arc::new(Local::new(id, "127.0.0.1:1".into(), 1, secret.as_ref()))
    };
    let secrets: [Option<&[u8]>; 2] = [None, Some(b"only two nodes know it")];
    let mut refused = 0;
    for round in 0..MUTATED_HANDSHAKES {
        let secret = secrets[round % 2];
        let mut hello = Handshake::initiator(&node(1, secret)).expect("it can begin").take_output();
        let untouched = hello.clone();
        for _ in 0..=random.below(4) {
            match random.below(3) {
                0 => {
                    let at = random.below(hello.len());
                    hello[at] ^= 1 << random.below(8);
                }
                1 => hello.truncate(1 + random.below(hello.len())),
                _ => hello.resize(hello.len() + random.below(2 * HANDSHAKE_BYTES_MAX), random.word() as u8),
            }
        }
        let mut responder = Handshake::responder(&node(2, secret));
        let mut rest = hello.as_slice();
        let before = ALLOCATOR.allocated();
        while !rest.is_empty() {
            let Ok((taken, progress)) = responder.receive(rest) else {
                refused += 1;
                break;
            };
            // Whole and unchanged at its start, it is a real hello, whatever comes behind it.
            let real = hello.starts_with(&untouched);
            assert!(
                secret.is_none() || real || progress == Progress::Waiting,
                "a changed hello was answered in round {round}"
            );
            rest = &rest[taken..];
            assert!(taken > 0);
        }
        let held = ALLOCATOR.allocated().saturating_sub(before);
        assert!(held <= 8 * HANDSHAKE_BYTES_MAX, "{held} bytes are held for a stranger in round {round}");
    }
    println!("{MUTATED_HANDSHAKES} handshakes: {refused} refused");
    assert!(refused > MUTATED_HANDSHAKES / 4);
}

/// One test, because everything that runs beside it would be counted too.
#[test]
fn a_million_mutated_frames_cost_a_connection_each_and_nothing_more() {
    let mut random = Random(Xoshiro256PlusPlus::seed_from_u64(seed()));
    let most_before = ALLOCATOR.max_allocated();
    mutated_frames(&mut random);
    let most = ALLOCATOR.max_allocated() - most_before;
    // Two buffers for a moment: the old connection's and the new one's.
    assert!(most <= 2 * RECEIVE_BUFFER_BYTES + OWN_BYTES_MAX, "{most} bytes were allocated at once");
    mutated_handshakes(&mut random);
}
