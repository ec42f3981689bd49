//! The safe Rust face of libscifs, with both nodes in this one process.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use scifs_client::{Access, Error, Mode, Segment, Woken};

use crate::programs::Pair;

/// Anywhere: the tests of this process run at the same time, and the first file of each cluster has the same address.
fn both(pair: &Pair) -> [Segment; 2] {
    pair.files().map(|file| Segment::map_anywhere(file, Access::ReadWrite).unwrap())
}

#[test]
fn bytes_and_words_of_one_node_are_those_of_the_other() {
    let pair = Pair::new("segment-bytes");
    let [ant, bee] = both(&pair);
    assert_eq!((ant.length(), bee.length()), (64 << 10, 64 << 10));
    assert_ne!(ant.address(), bee.address());
    // Not aligned, and over the edge of a page.
    let text: Vec<u8> = (0..100).collect();
    ant.write(4090, &text).unwrap();
    let mut seen = [0; 100];
    bee.read(4090, &mut seen).unwrap();
    assert_eq!(seen, text[..]);
    bee.long_word(8192).unwrap().fetch_add(1 << 40, SeqCst);
    assert_eq!(ant.long_word(8192).unwrap().load(SeqCst), 1 << 40);
    assert_eq!(ant.word(8196).unwrap().load(SeqCst), 1 << 8);
}

/// The only one here that maps at the file's own address.
#[test]
fn what_is_outside_or_crooked_or_not_for_writing_is_refused() {
    let pair = Pair::new("segment-refused");
    let file = &pair.files()[0];
    let segment = Segment::map(file, Access::Read).unwrap();
    let stat: serde_json::Value = serde_json::from_str(&pair.place.ok(&["stat", file, "--json"])).unwrap();
    assert_eq!(stat["address"], format!("{:#x}", segment.address()));
    let end = segment.length();
    assert_eq!(
        segment.read(end - 1, &mut [0; 2]),
        Err(Error::NotMapped { address: segment.address() + end - 1 })
    );
    assert_eq!(
        segment.read(usize::MAX, &mut [0; 2]).map_err(|error| error.errno()),
        Err(scifs_client::Errno::FAULT)
    );
    assert_eq!(segment.read(end, &mut []), Ok(()));
    assert_eq!(segment.write(0, &[1]), Err(Error::Protection));
    assert_eq!(segment.long_word(0).map(drop), Err(Error::Protection), "a reference would let one store");
    assert_eq!(segment.lock(0, 1, Mode::Write).map(drop), Err(Error::LockReadOnly));
    assert!(matches!(Segment::map(file, Access::Read), Err(Error::Taken { .. })));
    drop(segment);
    let segment = Segment::map(file, Access::ReadWrite).unwrap();
    assert_eq!(segment.long_word(4).map(drop), Err(Error::Word));
    assert!(matches!(segment.long_word(end - 4), Err(Error::NotMapped { .. })));
    assert!(matches!(Segment::map("/etc/passwd", Access::Read), Err(Error::NotOurs { .. })));
}

#[test]
fn a_guard_is_a_lock_and_its_end_the_end_of_the_lock() {
    const ROUNDS: u64 = 30;
    let pair = Pair::new("segment-lock");
    let segments = both(&pair);
    let [ant, bee] = &segments;
    let guard = ant.lock(0, 8, Mode::Write).unwrap();
    assert_eq!(bee.try_lock(0, 8, Mode::Read).map(drop), Err(Error::Locked));
    drop(guard);
    let reader = bee.try_lock(0, 8, Mode::Read).unwrap();
    assert!(ant.try_lock(0, 8, Mode::Read).is_ok());
    drop(reader);
    std::thread::scope(|scope| {
        for segment in segments.iter().chain(&segments) {
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let _guard = segment.lock(0, 8, Mode::Write).unwrap();
                    let mut number = [0; 8];
                    segment.read(0, &mut number).unwrap();
                    segment.write(0, &(u64::from_ne_bytes(number) + 1).to_ne_bytes()).unwrap();
                }
            });
        }
    });
    assert_eq!(ant.long_word(0).unwrap().load(SeqCst), 4 * ROUNDS);
}

#[test]
fn who_waits_for_a_word_is_woken_from_another_node() {
    let pair = Pair::new("segment-wait");
    let [ant, bee] = both(&pair);
    assert_eq!(ant.wait(0, 1, None), Ok(Woken::OtherValue));
    assert_eq!(ant.wait(0, 0, Some(Duration::from_millis(1))), Ok(Woken::TimedOut));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while ant.long_word(0).unwrap().load(SeqCst) == 0 {
                ant.wait_long(0, 0, None).unwrap();
            }
        });
        bee.long_word(0).unwrap().store(1, SeqCst);
        bee.notify(0, 1).unwrap();
        waiter.join().unwrap();
    });
    assert_eq!(bee.prefetch(0, 4096, Mode::Write), Ok(()));
}
