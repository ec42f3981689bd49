//! Sizes, layouts and times of files; limits.

use super::*;
use crate::names::limits::*;

const PAGE: u64 = 4096;

#[test]
fn cutting_a_file_begins_a_new_generation_behind_its_end() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.resize(inode, 10 * PAGE).unwrap();
    assert_eq!(log.events, [Event::Grown { inode, size: 10 * PAGE }]);
    log.resize(inode, 3 * PAGE + 1).unwrap();
    assert_eq!(log.info(inode).layout.pieces, pieces(&[(0, 0), (4, 1)]));
    let layout = log.info(inode).layout;
    assert_eq!(log.events, [Event::Relaid { inode, size: 3 * PAGE + 1, layout }]);
    log.resize(inode, 10 * PAGE).unwrap();
    log.resize(inode, PAGE).unwrap();
    assert_eq!(log.info(inode).layout.pieces, pieces(&[(0, 0), (1, 2)]));
    log.resize(inode, 0).unwrap();
    assert_eq!(log.info(inode).layout.pieces, pieces(&[(0, 3)]));
}

#[test]
fn cutting_within_the_last_page_keeps_the_generations_but_tells() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.resize(inode, 5000).unwrap();
    log.resize(inode, 4097).unwrap();
    let layout = Layout::default();
    assert_eq!(log.events, [Event::Relaid { inode, size: 4097, layout }]);
}

#[test]
fn a_hole_has_a_generation_of_its_own_and_what_is_around_it_keeps_its() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.resize(inode, 100 * PAGE).unwrap();
    let punch = |log: &mut Log, first_page, pages| {
        let now = log.now();
        log.attr(&Command::Punch { inode, first_page, pages, now });
        log.info(inode).layout.pieces
    };
    assert_eq!(punch(&mut log, 10, 20), pieces(&[(0, 0), (10, 1), (30, 0)]));
    assert_eq!(punch(&mut log, 10, 20), pieces(&[(0, 0), (10, 2), (30, 0)]));
    assert_eq!(punch(&mut log, 15, 5), pieces(&[(0, 0), (10, 2), (15, 3), (20, 2), (30, 0)]));
    assert_eq!(punch(&mut log, 5, 12), pieces(&[(0, 0), (5, 4), (17, 3), (20, 2), (30, 0)]));
    assert_eq!(punch(&mut log, 0, u32::MAX), pieces(&[(0, 5), (u32::MAX, 0)]));
    assert_eq!(log.info(inode).attr.size, 100 * PAGE, "a hole leaves the size");
    assert_eq!(log.info(inode).layout.generation(u32::MAX - 1), 5);
}

/// Page by page: each is zeros exactly if it was cut off or punched since it was last written.
#[test]
fn layouts_agree_with_a_file_that_is_kept_page_by_page() {
    let mut log = Log::new();
    let inode = log.file("f");
    let (mut model, mut size, mut seed) = (vec![0u32; 64], 0u64, 7u64);
    for _ in 0..2000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (what, a, b) = (seed >> 62, (seed >> 40) % 64, (seed >> 20) % 64);
        let before = log.info(inode).layout;
        let mut fresh = [false; 64];
        if what < 2 {
            if a < size {
                fresh[a as usize..].fill(true);
            }
            size = a;
            log.resize(inode, a * PAGE).unwrap();
        } else {
            let pages = b.min(64 - a);
            fresh[a as usize..(a + pages) as usize].fill(true);
            let now = log.now();
            log.attr(&Command::Punch { inode, first_page: a as u32, pages: pages as u32, now });
        }
        let layout = log.info(inode).layout;
        for page in 0..64 {
            let new = layout.generation(page as u32);
            let kept = before.generation(page as u32) == new;
            assert_eq!(kept, !fresh[page], "page {page}");
            assert!(new >= model[page] || kept, "a generation is never used again for a page");
            model[page] = new;
        }
    }
}

#[test]
fn a_layout_has_a_bound_and_cutting_to_nothing_makes_room() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.resize(inode, FILE_BYTES_MAX).unwrap();
    let full = (0..).find_map(|at| {
        let now = log.now();
        log.names.apply(at, &Command::Punch { inode, first_page: at as u32 * 2, pages: 1, now }).answer.err()
    });
    assert_eq!(full, Some(Refusal::LayoutFull));
    assert!(log.info(inode).layout.pieces.len() <= PIECES_MAX);
    log.resize(inode, 0).unwrap();
    assert_eq!(log.info(inode).layout.pieces.len(), 1);
}

#[test]
fn a_file_grows_by_writes_but_never_shrinks_by_them() {
    let mut log = Log::new();
    let inode = log.file("f");
    let now = log.now();
    assert_eq!(log.attr(&Command::Grow { inode, size: 100, now }).size, 100);
    assert_eq!(log.attr(&Command::Grow { inode, size: 50, now }).size, 100);
    assert!(log.events.is_empty());
    assert_eq!(log.attr(&Command::Append { inode, at: 100, bytes: 11, now }).size, 111);
    assert_eq!(log.events, [Event::Grown { inode, size: 111 }]);
    assert_eq!(
        log.attr(&Command::Append { inode, at: 100, bytes: 5, now }).size,
        111,
        "somebody grew it meanwhile"
    );
    log.resize(inode, 99).unwrap();
    assert_eq!(
        log.attr(&Command::Append { inode, at: 100, bytes: 11, now }).size,
        99,
        "cut off with the rest"
    );
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let mut log = Log::new();
    let inode = log.file("f");
    let now = log.now();
    log.resize(inode, FILE_BYTES_MAX).unwrap();
    for command in [
        Command::Grow { inode, size: FILE_BYTES_MAX + 1, now },
        Command::Append { inode, at: FILE_BYTES_MAX, bytes: 1, now },
        Command::Append { inode, at: FILE_BYTES_MAX, bytes: u64::MAX, now },
    ] {
        assert_eq!(log.run(&command), Err(Refusal::TooLong));
    }
    assert_eq!(log.resize(inode, u64::MAX), Err(Refusal::TooLong));
}

#[test]
fn only_files_have_sizes_that_change() {
    let mut log = Log::new();
    let directory = log.make_in(ROOT, "d", Make::Directory);
    let link = log.make_in(ROOT, "l", Make::SymLink { target: b"f".to_vec() });
    assert_eq!(log.resize(directory, 0), Err(Refusal::IsDirectory));
    assert_eq!(log.resize(link, 0), Err(Refusal::WrongKind));
}

#[test]
fn the_time_of_a_write_that_is_told_late_undoes_nothing() {
    let mut log = Log::new();
    let inode = log.file("f");
    let written = Time { seconds: START + 50, nanos: 1 };
    let attr = log.attr(&Command::Touch { inode, written });
    assert_eq!((attr.mtime, attr.ctime), (written, written));
    let (set, now) = (Time { seconds: 5, nanos: 5 }, Time { seconds: START + 60, nanos: 0 });
    let changes = Changes { mtime: Some(set), ..Changes::default() };
    log.attr(&Command::SetAttr { inode, changes, now });
    let attr = log.attr(&Command::Touch { inode, written: Time { seconds: START + 55, nanos: 0 } });
    assert_eq!((attr.mtime, attr.ctime), (set, now));
}

#[test]
fn a_file_has_a_limited_number_of_names() {
    let mut log = Log::new();
    let inode = log.file("f");
    log.names.node_mut(inode).unwrap().links = LINKS_MAX;
    let now = log.now();
    let link = Command::Link { inode, parent: ROOT, name: b"g".to_vec(), now };
    assert_eq!(log.run(&link), Err(Refusal::TooManyLinks));
}

#[test]
fn when_names_take_too_much_nothing_is_added_and_deleting_helps() {
    let mut log = Log::new();
    log.make_in(ROOT, "old", Make::SymLink { target: vec![b't'; TARGET_BYTES_MAX] });
    // As if others were there.
    log.names.weight = STATE_BYTES_MAX - 1000;
    let (name, now, target) = (b"new".to_vec(), log.now(), vec![b't'; 1000]);
    let what = Make::SymLink { target };
    let make = Command::Make { parent: ROOT, name, what, mode: 0o777, uid: 0, gid: 0, now };
    assert_eq!(log.run(&make), Err(Refusal::StateFull));
    assert_eq!(log.set_xattr(ROOT, b"trusted.a", &[0; 1000]), Err(Refusal::StateFull));
    log.unlink("old").unwrap();
    log.names.set_members([].into());
    log.attr(&make);
}
