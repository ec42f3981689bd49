//! Snapshots: equal states, fixed bytes, and bytes from anybody.

use super::*;
use crate::names::limits::*;

/// One of everything, with its orphans.
fn sample() -> Log {
    let mut log = Log::new();
    let directory = log.make_in(ROOT, "d", Make::Directory);
    let file = log.make_in(directory, "f", empty_file());
    log.resize(file, 100_000).unwrap();
    log.resize(file, 5000).unwrap();
    log.run(&Command::Pin { inode: file }).unwrap();
    log.set_xattr(file, b"user.a", b"value").unwrap();
    let now = log.now();
    log.attr(&Command::Link { inode: file, parent: ROOT, name: b"second".to_vec(), now });
    log.make_in(ROOT, "l", Make::SymLink { target: b"d/f".to_vec() });
    for (name, kind) in [("p", Special::Fifo), ("s", Special::Socket), ("c", Special::CharDevice)] {
        log.make_in(ROOT, name, Make::Special { kind, device: 0x0103 });
    }
    log.file("orphan");
    log.unlink("orphan").unwrap();
    log.run(&Command::LetGo { member: 1, inodes: vec![8] }).unwrap();
    let gone = log.make_in(directory, "gone", Make::Directory);
    log.attr(&Command::RmDir { parent: directory, name: b"gone".to_vec(), now });
    assert!(gone > 8);
    log
}

#[test]
fn a_snapshot_brings_back_an_equal_state_that_goes_on_alike() {
    let mut log = sample();
    let mut copy = Names::from_snapshot(&log.names.snapshot()).unwrap();
    assert_eq!(copy, log.names);
    let (name, now) = (b"next".to_vec(), log.now());
    let make = Command::Make { parent: ROOT, name, what: empty_file(), mode: 0, uid: 0, gid: 0, now };
    assert_eq!(copy.apply(100, &make), log.names.apply(100, &make));
    assert_eq!(copy, log.names);
}

#[test]
fn a_snapshot_takes_no_more_than_was_counted() {
    let log = sample();
    assert!(log.names.snapshot().len() < log.names.weight);
}

#[test]
fn mangled_snapshots_are_refused_or_are_states_that_hold_together() {
    let log = sample();
    let bytes = log.names.snapshot();
    for end in 0..bytes.len() {
        assert!(Names::from_snapshot(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut read = 0;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[at] ^= 1 << bit;
            let Ok(mut names) = Names::from_snapshot(&other) else { continue };
            read += 1;
            // What it accepts, it can work with.
            let now = Time { seconds: 1, nanos: 0 };
            let (name, new_name) = (b"d".to_vec(), b"e".to_vec());
            let how = Renaming::Replace;
            let rename = Command::Rename { parent: ROOT, name, new_parent: 2, new_name, how, now };
            let _ = names.apply(1000, &rename);
            names.set_members([].into());
            assert_eq!(Names::from_snapshot(&names.snapshot()).as_ref(), Ok(&names));
        }
    }
    assert!(read > 0, "some bits are only values");
}

#[test]
fn the_bytes_of_a_snapshot_are_what_wire_md_says() {
    let now = Time { seconds: 3, nanos: 4 };
    let mut names = Names::new(&Founding { uid: 1, gid: 2, mode: 0o700, now });
    names.set_members([1].into());
    let what = Make::File { consistency: Consistency::Lazy, address: Some(ADDRESS_FIRST), size: 300 };
    let make = Command::Make { parent: ROOT, name: b"ab".to_vec(), what, mode: 0o644, uid: 5, gid: 6, now };
    names.apply(9, &make).answer.unwrap();
    let golden: Vec<u8> = [
        // Version, last command, next inode, one member: 1; two inodes.
        &[1, 9, 3, 1, 1, 2][..],
        // Inode 1, a directory whose times are all equal, 0o700, owner, group, links; time; no attributes.
        &[1, 0x39, 0xc0, 3, 1, 2, 2, 6, 4, 0],
        // Its parent, the next cookie, one entry: cookie 3, inode 2, "ab".
        &[1, 4, 1, 3, 2, 2, b'a', b'b'],
        // One further: a file, 0o644, owner, group, links; time; no attributes.
        &[1, 0x38, 0xa4, 3, 5, 6, 1, 6, 4, 0],
        // 300 bytes, lazy, its address in units, no generation begun, one piece from page 0.
        &[0xac, 2, 1, 0x80, 0x80, 0x80, 8, 0, 1, 0, 0],
        // No orphans.
        &[0],
    ]
    .concat();
    assert_eq!(names.snapshot(), golden);
}

#[test]
fn a_tree_that_hangs_in_the_air_is_refused() {
    let mut log = Log::new();
    let a = log.make_in(ROOT, "a", Make::Directory);
    let b = log.make_in(a, "b", Make::Directory);
    // A circle that the root doesn't reach: b holds a, a holds b.
    let now = log.now();
    log.names.edit(ROOT, now, |root| root.remove(b"a"));
    log.names.change_links(ROOT, -1);
    log.names.edit(b, now, |b| b.add(b"a", a));
    log.names.change_links(b, 1);
    log.names.edit(a, now, |a| a.parent = b);
    assert!(Names::from_snapshot(&log.names.snapshot()).is_err());
}

#[test]
fn many_files_take_few_bytes_each_and_a_million_fit() {
    let made = std::env::var("SCIFS_FILES").map_or(100_000, |files| files.parse().unwrap());
    let now = Time { seconds: 1_700_000_000, nanos: 123_456_789 };
    let mut names = Names::new(&Founding { uid: 0, gid: 0, mode: 0o755, now });
    for number in 0..made {
        let name = format!("file-{number:06}").into_bytes();
        let make = Command::Make { parent: ROOT, name, what: empty_file(), mode: 0o644, uid: 0, gid: 0, now };
        names.apply(number, &make).answer.unwrap();
    }
    let bytes = names.snapshot();
    assert!(bytes.len() < 60 * made as usize, "{} bytes a file", bytes.len() as u64 / made);
    assert!(names.weight as u64 / made * 1_000_000 < STATE_BYTES_MAX as u64, "a million files fit");
    assert_eq!(Names::from_snapshot(&bytes).unwrap(), names);
}
