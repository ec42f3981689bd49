//! Frames that were good once, with wrong bytes in them.

use super::seeded::Chance;
use crate::Epoch;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::rpc::frame::{ErrorCode, Flags, FrameType, Header};
use crate::rpc::hostile::{Victim, feed_all};

const FRAMES: usize = 200_000;

fn frame(frame_type: FrameType, flags: u8, id: u64, epoch: u64, payload: &[u8]) -> Vec<u8> {
    let deadline_us = if frame_type == FrameType::Request { 20_000 } else { 0 };
    let header = Header { frame_type, flags: Flags(flags), kind: 300, deadline_us, id, epoch: Epoch(epoch) };
    [&header.to_bytes()[..], payload].concat()
}

/// One of each thing that a session understands.
fn corpus() -> Vec<Vec<u8>> {
    let begin = [&200_000u32.to_le_bytes()[..], &[7; 1000]].concat();
    let fenced = Flags::FENCED;
    let mut frames = vec![
        frame(FrameType::Request, 0, 5, 2, b"question"),
        frame(FrameType::Request, fenced, 6, 2, b"question"),
        frame(FrameType::Request, fenced, 7, 1, b"old"),
        frame(FrameType::Request, fenced, 8, 3, b"new"),
        frame(FrameType::OneWay, 0, 1, 2, b"news"),
        frame(FrameType::OneWay, fenced, 2, 3, &[1; MESSAGE_BYTES_MAX - 24]),
        frame(FrameType::OneWay, Flags::MORE, 3, 2, &begin),
        frame(FrameType::OneWay, Flags::MORE | Flags::CONTINUED, 3, 2, &[7; 1000]),
        frame(FrameType::OneWay, Flags::CONTINUED, 3, 2, &[7; 66_000]),
        frame(FrameType::Reply, 0, 0x1000, 2, b"answer"),
        frame(FrameType::Reply, fenced, 0x1001, 3, b"answer"),
        frame(FrameType::Cancel, 0, 5, 2, b""),
        frame(FrameType::Cancel, 0, 8, 2, b""),
    ];
    for code in [ErrorCode::StaleEpoch, ErrorCode::NotYet, ErrorCode::Busy, ErrorCode::Failed] {
        frames.push(frame(FrameType::Error, 0, 0x1000, 2, &code.to_payload("why")));
        frames.push(frame(FrameType::Error, Flags::ABOUT_ONE_WAY, 1, 2, &code.to_payload("")));
    }
    frames
}

fn mutate(chance: &mut Chance, frame: &mut Vec<u8>) {
    for _ in 0..chance.below(4) {
        // Most of what is decided is decided by the first bytes.
        let near = frame.len().min(if chance.flip() { 30 } else { usize::MAX });
        if near == 0 {
            return;
        }
        let at = chance.below(near as u64) as usize;
        match chance.below(4) {
            0 => frame[at] = chance.below(256) as u8,
            1 => frame[at] ^= 1 << chance.below(8),
            2 => frame.truncate(at),
            _ => frame.insert(at, chance.below(256) as u8),
        }
    }
}

#[test]
fn mutated_frames_never_panic_and_never_break_a_bound() {
    let corpus = corpus();
    let mut chance = Chance::new(1);
    let mut victim = Victim::new();
    let mut refused = 0;
    for _ in 0..FRAMES {
        let mut frame = corpus[chance.below(corpus.len() as u64) as usize].clone();
        mutate(&mut chance, &mut frame);
        refused += usize::from(!victim.feed(&frame));
        assert!(victim.is_bounded());
    }
    assert!((FRAMES / 10..FRAMES * 9 / 10).contains(&refused), "{refused} of {FRAMES} were refused");
}

#[test]
fn a_peer_that_provokes_answers_and_reads_none_stays_within_its_bounds() {
    let mut victim = Victim::new();
    let stale = frame(FrameType::OneWay, Flags::FENCED, 1, 1, b"");
    for _ in 0..250_000 {
        victim.feed(&stale);
    }
    assert!(victim.is_bounded());
}

#[test]
fn the_entry_for_fuzzers_takes_anything() {
    let mut chance = Chance::new(2);
    for length in 0..2_000 {
        let bytes: Vec<u8> = (0..length).map(|_| chance.below(256) as u8).collect();
        feed_all(&bytes);
    }
    for frame in corpus() {
        feed_all(&[&(frame.len() as u16).to_le_bytes()[..], &frame].concat());
    }
}
