//! Reads, writes, placed pages and atomics do what they say, in order with messages.

use std::sync::Arc;

use scios::limits::{GATHER_SLICES_MAX, MESSAGE_BYTES_MAX, PAGE_BYTES, PLACED_BYTES_MAX};
use scios::memory::RegionSlice;
use scios::verbs::{Event, OpId, Operation, Rights, SendError};

use crate::conformance::lab::{Lab, Node, filled, pattern, region};
use crate::conformance::recorder::Seen;

const PAGES: usize = 3;
const SIZES: [usize; 11] = [1, 7, 8, 63, 512, 4095, 4096, 4097, 65_536, 100_001, PLACED_BYTES_MAX];

pub(super) fn reads_of_every_size_bring_the_bytes(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, PLACED_BYTES_MAX as u64 + 8, Rights::READ);
    let all = pattern(1, PLACED_BYTES_MAX + 8);
    memory.whole().write_from(&all).expect("in range");
    let local = region(PLACED_BYTES_MAX as u64);
    for (op, size) in (0..).zip(SIZES) {
        let offset = op as usize % 8;
        let into = local.slice(0, size).expect("in range");
        let read = Operation::Read { from: key.slice(offset as u64, size), into: into.clone() };
        assert_eq!(lab.run(&a, b.id, op, &read), Ok(0));
        assert!(into.to_vec() == all[offset..offset + size], "{size} bytes at {offset}");
    }
}

pub(super) fn gathered_writes_of_every_size_are_in_place_when_done(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, PLACED_BYTES_MAX as u64, Rights::WRITE);
    for (op, size) in (0..).zip(SIZES) {
        let bytes = pattern(op, size);
        let parts = (op as usize % GATHER_SLICES_MAX) + 1;
        let from: Vec<_> = bytes.chunks(size.div_ceil(parts)).map(filled).collect();
        let write = Operation::Write { from: &from, into: key.slice(0, size) };
        assert_eq!(lab.run(&a, b.id, op, &write), Ok(0));
        assert!(memory.slice(0, size).expect("in range").to_vec() == bytes, "{size} bytes");
    }
    assert_eq!(b.seen.count(|seen| !matches!(seen, Seen::Up { .. })), 0, "a write is not told");
}

pub(super) fn only_the_named_bytes_are_written(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let memory = region(3 * PAGE_BYTES as u64);
    memory.whole().write_from(&[0xee; 3 * PAGE_BYTES]).expect("in range");
    let lent = memory.slice(100, 2 * PAGE_BYTES).expect("in range");
    let key = b.fabric.grant(a.id, &lent, Rights::ALL, b.later()).expect("grant");
    let write = Operation::Write { from: &[filled(&[0x11; 1000])], into: key.slice(50, 1000) };
    assert_eq!(lab.run(&a, b.id, 1, &write), Ok(0));
    let mut expected = vec![0xee; 3 * PAGE_BYTES];
    expected[150..1150].fill(0x11);
    assert!(memory.whole().to_vec() == expected);
}

pub(super) fn what_does_not_fit_into_one_operation_is_refused(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let bytes = PLACED_BYTES_MAX + 1;
    let (_, key) = b.lend(a.id, bytes as u64, Rights::ALL);
    let (local, remote) = (region(bytes as u64).whole(), key.slice(0, bytes));
    let one = [local.clone()];
    let refused = Err(SendError::TooLong { bytes, max: PLACED_BYTES_MAX });
    assert_eq!(a.post(b.id, 1, Operation::Read { from: remote, into: local }), refused);
    assert_eq!(a.post(b.id, 2, Operation::Write { from: &one, into: remote }), refused);
    assert_eq!(a.post(b.id, 3, Operation::WriteImm { from: &one, into: remote, imm: 0 }), refused);
    assert_eq!(a.post(b.id, 4, Operation::Place { head: b"", from: &one, into: remote }), refused);
    let (head, page) = (vec![0; MESSAGE_BYTES_MAX + 1], [filled(b"x")]);
    let place = a.post(b.id, 5, Operation::Place { head: &head, from: &page, into: key.slice(0, 1) });
    assert!(matches!(place, Err(SendError::TooLong { .. })), "{place:?}");
    lab.round_trip(&a, &b);
}

pub(super) fn ranges_of_different_length_and_misaligned_atomics_are_refused(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (_, key) = b.lend(a.id, 4096, Rights::ALL);
    let page = [filled(&[0; 16])];
    let wrong = [
        Operation::Read { from: key.slice(0, 15), into: page[0].clone() },
        Operation::Write { from: &page, into: key.slice(0, 17) },
        Operation::WriteImm { from: &page, into: key.slice(0, 8), imm: 0 },
        Operation::Place { head: b"", from: &page, into: key.slice(0, 8) },
        Operation::CompareAndSwap { at: key.slice(4, 8), expected: 0, new: 1 },
        Operation::FetchAdd { at: key.slice(0, 4), add: 1 },
    ];
    for (op, operation) in (0..).zip(wrong) {
        assert_eq!(a.post(b.id, op, operation.clone()), Err(SendError::Shape), "{operation:?}");
    }
    lab.round_trip(&a, &b);
}

pub(super) fn compare_and_swap_changes_what_is_expected_and_nothing_else(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 24, Rights::ALL);
    memory.whole().write_from(&[1; 24]).expect("in range");
    let ones = u64::from_le_bytes([1; 8]);
    let swap = |expected, new| Operation::CompareAndSwap { at: key.slice(8, 8), expected, new };
    assert_eq!(lab.run(&a, b.id, 1, &swap(0, 99)), Ok(ones));
    assert_eq!(memory.whole().to_vec(), [1; 24]);
    assert_eq!(lab.run(&a, b.id, 2, &swap(ones, u64::MAX)), Ok(ones));
    assert_eq!(memory.whole().to_vec(), [[1; 8], [255; 8], [1; 8]].concat());
    assert_eq!(lab.run(&a, b.id, 3, &swap(u64::MAX, 0x0102_0304_0506_0708)), Ok(u64::MAX));
    assert_eq!(memory.slice(8, 8).expect("in range").to_vec(), [8, 7, 6, 5, 4, 3, 2, 1]);
}

pub(super) fn fetch_and_add_gives_what_was_there_and_wraps(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 16, Rights::ALL);
    let add = |add| Operation::FetchAdd { at: key.slice(8, 8), add };
    assert_eq!(lab.run(&a, b.id, 1, &add(5)), Ok(0));
    assert_eq!(lab.run(&a, b.id, 2, &add(u64::MAX)), Ok(5));
    assert_eq!(lab.run(&a, b.id, 3, &add(0)), Ok(4));
    assert_eq!(memory.whole().to_vec(), [0, 4u64].map(u64::to_le_bytes).concat());
}

pub(super) fn an_operation_on_a_peer_that_is_not_up_is_refused(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (_, key) = b.lend(a.id, 8, Rights::ALL);
    b.fabric.disconnect(a.id);
    lab.wait_down(&a, b.id);
    let add = Operation::FetchAdd { at: key.slice(0, 8), add: 1 };
    assert_eq!(a.post(b.id, 1, add), Err(SendError::NotConnected(b.id)));
}

pub(super) fn a_handler_begins_operations(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 8, Rights::ALL);
    // Each sum begins the next, from within the call that tells of it.
    let (fabric, seen) = (Arc::clone(&a.fabric), Arc::downgrade(&a.seen));
    a.react(move |event| {
        if let (Event::Done { peer, op: OpId(n), .. }, Some(seen)) = (event, seen.upgrade())
            && *n < 100
        {
            seen.begin(*peer, OpId(n + 1));
            let add = Operation::FetchAdd { at: key.slice(0, 8), add: *n };
            fabric.post(*peer, OpId(n + 1), add).expect("room for one");
        }
    });
    lab.post(&a, b.id, 1, &Operation::FetchAdd { at: key.slice(0, 8), add: 0 });
    assert_eq!(lab.result(&a, b.id, 100), Ok(98 * 99 / 2));
    assert_eq!(memory.whole().to_vec(), (99u64 * 100 / 2).to_le_bytes());
}

pub(super) fn a_write_with_a_number_is_told_once_the_bytes_are_in_place(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 50 * 100, Rights::WRITE);
    let found = check_when_told(&b, memory.whole());
    for n in 0..50u32 {
        let from = [filled(&pattern(u64::from(n), 60)), filled(&pattern(u64::from(n), 40))];
        let into = key.slice(u64::from(n) * 100, 100);
        lab.post(&a, b.id, u64::from(n), &Operation::WriteImm { from: &from, into, imm: u32::MAX - n });
    }
    lab.send(&a, b.id, b"last", &[]);
    lab.wait("the message", || b.has_message(a.id, b"last"));
    let told: Vec<_> = b.seen.log().into_iter().skip(1).collect();
    let mut expected: Vec<_> =
        (0..50).map(|n| Seen::Written { peer: a.id, imm: u32::MAX - n, bytes: 100 }).collect();
    expected.push(Seen::Message { peer: a.id, bytes: b"last".to_vec() });
    assert_eq!(told, expected);
    for (n, bytes) in (0..).zip(found.lock().iter()) {
        assert!(*bytes == [pattern(n, 60), pattern(n, 40)].concat(), "write {n} was not in place");
    }
    lab.wait("all operations", || a.done_count(b.id) == 50);
    assert!((0..50).all(|op| a.result(b.id, op) == Some(Ok(0))));
}

/// Keeps what `memory` holds, a hundred bytes each, when the handler is told of each write.
fn check_when_told(node: &Node, memory: RegionSlice) -> Arc<parking_lot::Mutex<Vec<Vec<u8>>>> {
    let found = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let keep = Arc::clone(&found);
    node.react(move |event| {
        if let Event::Written { imm, .. } = event {
            let at = (u32::MAX - imm) as usize * 100;
            keep.lock().push(memory.part(at, 100).expect("in range").to_vec());
        }
    });
    found
}

pub(super) fn placed_pages_are_there_before_their_message(lab: &Lab<'_>) {
    let (a, b) = lab.pair();

    let (memory, key) = b.lend(a.id, (PAGES * PAGE_BYTES) as u64, Rights::WRITE);
    let found = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let keep = Arc::clone(&found);
    b.react(move |event| {
        if let Event::Message { .. } = event {
            keep.lock().push(memory.whole().to_vec());
        }
    });
    for n in 0..40u64 {
        let pages: Vec<_> = (0..PAGES as u64).map(|page| filled(&pattern(n + page, PAGE_BYTES))).collect();
        let head = [&b"pages "[..], &n.to_le_bytes()].concat();
        let into = key.slice(0, PAGES * PAGE_BYTES);
        assert!(lab.run(&a, b.id, n, &Operation::Place { head: &head, from: &pages, into }).is_ok());
        // The next pages would overwrite these before they are looked at.
        lab.wait("a look at the pages", || found.lock().len() as u64 == n + 1);
        assert!(b.has_message(a.id, &head));
    }
    for (n, bytes) in (0..).zip(found.lock().iter()) {
        let expected: Vec<_> = (0..PAGES as u64).map(|page| pattern(n + page, PAGE_BYTES)).collect();
        assert!(*bytes == expected.concat(), "the pages of message {n} were not in place");
    }
    assert_eq!(found.lock().len(), 40);
}

pub(super) fn a_message_finds_the_writes_that_were_begun_before_it(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, 16, Rights::ALL);
    let found = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let keep = Arc::clone(&found);
    b.react(move |event| {
        if let Event::Message { .. } = event {
            keep.lock().push(memory.whole().to_vec());
        }
    });
    for n in 0..100u64 {
        let write = Operation::Write { from: &[filled(&n.to_le_bytes())], into: key.slice(0, 8) };
        lab.post(&a, b.id, 2 * n, &write);
        lab.post(&a, b.id, 2 * n + 1, &Operation::FetchAdd { at: key.slice(8, 8), add: 1 });
        lab.send(&a, b.id, b"look", &[]);
        // One round at a time: the write of the next may come before this one's look.
        lab.wait("a look at the words", || found.lock().len() as u64 == n + 1);
    }
    for (n, words) in (0..).zip(found.lock().iter()) {
        assert_eq!(*words, [n, n + 1].map(u64::to_le_bytes).concat(), "a message overtook a write");
    }
}

pub(super) fn the_last_of_many_writes_stays(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let (memory, key) = b.lend(a.id, PAGE_BYTES as u64, Rights::ALL);
    for n in 0..200u64 {
        let write =
            Operation::Write { from: &[filled(&pattern(n, PAGE_BYTES))], into: key.slice(0, PAGE_BYTES) };
        lab.post(&a, b.id, n, &write);
    }
    lab.wait("all operations", || a.done_count(b.id) == 200);
    assert!((0..200).all(|op| a.result(b.id, op) == Some(Ok(0))));
    assert!(memory.whole().to_vec() == pattern(199, PAGE_BYTES));
}

pub(super) fn what_several_peers_add_sums_exactly(lab: &Lab<'_>) {
    let owner = lab.node();
    let memory = region(8);
    let adders: Vec<_> = (0..3).map(|_| lab.node()).collect();
    let keys = adders.iter().map(|adder| {
        lab.join(adder, &owner);
        owner.fabric.grant(adder.id, &memory.whole(), Rights::ALL, owner.later()).expect("grant")
    });
    let keys: Vec<_> = keys.collect();
    for op in 0..200 {
        for (adder, key) in adders.iter().zip(&keys) {
            lab.post(adder, owner.id, op, &Operation::FetchAdd { at: key.slice(0, 8), add: 1 });
        }
    }
    let done = |adder: &Node| adder.done_count(owner.id) == 200;
    lab.wait("all operations", || adders.iter().all(|adder| done(adder)));
    let results = adders.iter().flat_map(|adder| (0..200).map(|op| adder.result(owner.id, op)));
    let mut seen: Vec<_> = results.map(|result| result.expect("done").expect("granted")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..600).collect::<Vec<_>>(), "each value was there for exactly one of them");
    assert_eq!(memory.whole().to_vec(), 600u64.to_le_bytes());
}

/// Two peers take a lock word in turn and add to an unprotected counter by read and write while they hold it.
pub(super) fn a_lock_taken_by_compare_and_swap_is_held_by_one(lab: &Lab<'_>) {
    let owner = lab.node();
    let memory = region(16);
    let nodes: Vec<_> = (0..2).map(|_| lab.node()).collect();
    let mut op = 0;
    for node in &nodes {
        lab.join(node, &owner);
    }
    let key_for = |node: &Node| {
        owner.fabric.grant(node.id, &memory.whole(), Rights::ALL, owner.later()).expect("grant")
    };
    let keys: Vec<_> = nodes.iter().map(|node| key_for(node)).collect();
    let (mut taken, mut refused) = (0u64, 0u64);
    while taken < 30 {
        for (node, key) in nodes.iter().zip(&keys) {
            op += 1;
            let lock = key.slice(0, 8);
            let swap = Operation::CompareAndSwap { at: lock, expected: 0, new: node.id.get() };
            lab.post(node, owner.id, op, &swap);
        }
        let before: Vec<_> =
            (op - 1..=op).zip(&nodes).map(|(op, node)| lab.result(node, owner.id, op)).collect();
        let winner = before.iter().position(|before| *before == Ok(0)).expect("one gets a free lock");
        refused += before.iter().filter(|before| **before == Ok(nodes[winner].id.get())).count() as u64;
        let (node, key) = (&nodes[winner], &keys[winner]);
        let word = region(8).whole();
        op += 1;
        assert!(
            lab.run(node, owner.id, op, &Operation::Read { from: key.slice(8, 8), into: word.clone() })
                .is_ok()
        );
        let counter = word.atomic().expect("a word");
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        op += 1;
        let write = Operation::Write { from: std::slice::from_ref(&word), into: key.slice(8, 8) };
        assert!(lab.run(node, owner.id, op, &write).is_ok());
        op += 1;
        let free = Operation::CompareAndSwap { at: key.slice(0, 8), expected: node.id.get(), new: 0 };
        assert_eq!(lab.run(node, owner.id, op, &free), Ok(node.id.get()));
        taken += 1;
    }
    assert_eq!((taken, refused), (30, 30));
    assert_eq!(memory.whole().to_vec(), [0, 30u64].map(u64::to_le_bytes).concat());
}
