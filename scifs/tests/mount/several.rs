//! Several nodes: what one does, the others see when the call has returned.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::support::{Cluster, Map, PAGE};

#[test]
fn names_and_bytes_of_one_node_are_there_on_the_others() {
    let cluster = Cluster::new(3);
    fs::create_dir_all(cluster.path(0, "a/b")).unwrap();
    fs::write(cluster.path(1, "a/b/file"), b"from one").unwrap();
    assert_eq!(fs::read(cluster.path(2, "a/b/file")).unwrap(), b"from one");
    fs::rename(cluster.path(2, "a/b/file"), cluster.path(2, "moved")).unwrap();
    assert!(!cluster.path(0, "a/b/file").exists());
    assert_eq!(fs::read(cluster.path(0, "moved")).unwrap(), b"from one");
    fs::remove_file(cluster.path(0, "moved")).unwrap();
    assert!(!cluster.path(1, "moved").exists());
}

#[test]
fn stores_of_two_nodes_to_one_page_see_each_other() {
    let cluster = Cluster::new(2);
    let (a, b) = (cluster.open(0, "file"), cluster.open(1, "file"));
    a.set_len(4 * PAGE as u64).unwrap();
    let (ours, theirs) = (Map::new(&a, 4 * PAGE), Map::new(&b, 4 * PAGE));
    for round in 0..50_u32 {
        ours.store(PAGE + 8, &round.to_ne_bytes());
        assert_eq!(theirs.load(PAGE + 8, 4), round.to_ne_bytes());
        theirs.store(PAGE + 8, &(round + 1000).to_ne_bytes());
        assert_eq!(ours.load(PAGE + 8, 4), (round + 1000).to_ne_bytes());
    }
}

#[test]
fn atomic_additions_of_three_nodes_are_all_counted() {
    const EACH: u64 = 20_000;
    let cluster = Cluster::new(3);
    let files: Vec<_> = (0..3).map(|node| cluster.open(node, "counter")).collect();
    files[0].set_len(PAGE as u64).unwrap();
    let maps: Vec<_> = files.iter().map(|file| Map::new(file, PAGE)).collect();
    std::thread::scope(|scope| {
        for map in &maps {
            scope.spawn(move || {
                for _ in 0..EACH {
                    map.add(64, 1);
                }
            });
        }
    });
    assert_eq!(maps[1].add(64, 0), 3 * EACH);
}

#[test]
fn reads_and_writes_of_one_node_and_mappings_of_another_agree() {
    let cluster = Cluster::new(2);
    let (a, b) = (cluster.open(0, "file"), cluster.open(1, "file"));
    a.set_len(PAGE as u64).unwrap();
    let theirs = Map::new(&b, PAGE);
    for round in 0..20_u32 {
        a.write_all_at(&round.to_ne_bytes(), 100).unwrap();
        assert_eq!(theirs.load(100, 4), round.to_ne_bytes());
        theirs.store(200, &round.to_ne_bytes());
        let mut bytes = [0; 4];
        a.read_exact_at(&mut bytes, 200).unwrap();
        assert_eq!(bytes, round.to_ne_bytes());
    }
}

#[test]
fn a_file_that_is_cut_and_grows_on_one_node_does_so_under_the_others_mappings() {
    let cluster = Cluster::new(2);
    let (a, b) = (cluster.open(0, "file"), cluster.open(1, "file"));
    a.set_len(4 * PAGE as u64).unwrap();
    let (ours, theirs) = (Map::new(&a, 4 * PAGE), Map::new(&b, 4 * PAGE));
    ours.store(100, &[1; 100]);
    theirs.store(3 * PAGE, &[2; 100]);
    a.set_len(150).unwrap();
    assert_eq!(b.metadata().unwrap().len(), 150);
    b.set_len(4 * PAGE as u64).unwrap();
    assert_eq!(
        ours.load(3 * PAGE, 100),
        [0; 100],
        "also the mapping of the node that has not grown the file"
    );
    assert_eq!(theirs.load(3 * PAGE, 100), [0; 100]);
    assert_eq!(theirs.load(100, 100), [[1; 50], [0; 50]].concat());
    a.write_all_at(b"more", 6 * PAGE as u64).unwrap();
    let longer = Map::new(&b, 7 * PAGE);
    assert_eq!(longer.load(6 * PAGE, 4), b"more");
}

#[test]
fn an_unlinked_file_lives_while_any_node_has_it_open() {
    let cluster = Cluster::new(2);
    let (a, b) = (cluster.open(0, "file"), cluster.open(1, "file"));
    a.write_all_at(b"still here", 0).unwrap();
    fs::remove_file(cluster.path(0, "file")).unwrap();
    drop(a);
    let mut bytes = [0; 10];
    b.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"still here");
    assert_eq!(b.metadata().unwrap().nlink(), 0);
}

#[test]
fn lines_that_two_nodes_append_are_all_there_and_whole() {
    let cluster = Cluster::new(2);
    std::thread::scope(|scope| {
        for node in 0..2 {
            let path = cluster.path(node, "log");
            scope.spawn(move || {
                let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
                (0..50).for_each(|line| log.write_all(format!("{node} {line:04}\n").as_bytes()).unwrap());
            });
        }
    });
    let log = fs::read_to_string(cluster.path(0, "log")).unwrap();
    let mut lines: Vec<_> = log.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    let expected: Vec<_> =
        (0..2).flat_map(|node| (0..50).map(move |line| format!("{node} {line:04}"))).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_lock_of_one_node_is_held_against_the_others_and_passed_on() {
    let cluster = Cluster::new(2);
    let (a, b) = (cluster.open(0, "file"), cluster.open(1, "file"));
    flock(&a, FlockOperation::LockExclusive).unwrap();
    assert!(flock(&b, FlockOperation::NonBlockingLockExclusive).is_err());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| flock(&b, FlockOperation::LockExclusive));
        flock(&a, FlockOperation::Unlock).unwrap();
        waits.join().unwrap().unwrap();
    });
    assert!(flock(&a, FlockOperation::NonBlockingLockExclusive).is_err());
}

#[test]
fn a_process_that_waits_for_a_lock_of_another_node_can_be_killed() {
    let cluster = Cluster::new(2);
    let a = cluster.open(0, "file");
    flock(&a, FlockOperation::LockExclusive).unwrap();
    let mut child =
        Command::new("flock").arg(cluster.path(1, "file")).arg("true").stdin(Stdio::null()).spawn().unwrap();
    let wchan = format!("/proc/{}/wchan", child.id());
    let waits = || fs::read_to_string(&wchan).is_ok_and(|w| w.contains("request_wait"));
    while !waits() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    flock(&a, FlockOperation::Unlock).unwrap();
    flock(cluster.open(1, "file"), FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn a_node_that_is_unmounted_leaves_and_the_others_go_on() {
    let mut cluster = Cluster::new(2);
    let file = cluster.open(0, "file");
    file.set_len(PAGE as u64).unwrap();
    let theirs = cluster.open(1, "file");
    let mapped = Map::new(&theirs, PAGE);
    assert_eq!(mapped.load(0, 4), [0; 4]);
    drop(theirs);
    drop(mapped);
    assert!(cluster.unmount(1));
    fs::write(cluster.path(0, "after"), b"alone").unwrap();
    assert_eq!(fs::read(cluster.path(0, "after")).unwrap(), b"alone");
}

/// Two nodes append lines of one length while a third reads what is there: never a byte of a line that is missing.
#[test]
fn a_reader_of_a_file_that_two_nodes_append_to_never_finds_zeros() {
    const LINE: usize = 3000;
    const EACH: usize = 100;
    let cluster = Cluster::new(3);
    drop(cluster.open(0, "log"));
    let append = |node: usize| {
        let mut file = OpenOptions::new().append(true).open(cluster.path(node, "log")).unwrap();
        let line = vec![b'a' + node as u8; LINE];
        for _ in 0..EACH {
            file.write_all(&line).unwrap();
        }
    };
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|node| scope.spawn(move || append(node)));
        let reader = fs::File::open(cluster.path(2, "log")).unwrap();
        while seen.len() < 2 * EACH * LINE && !writers.iter().all(|writer| writer.is_finished()) {
            let mut bytes = vec![0; 64 * 1024];
            let count = reader.read_at(&mut bytes, seen.len() as u64).unwrap();
            seen.extend_from_slice(&bytes[..count]);
        }
    });
    seen = [seen.clone(), fs::read(cluster.path(2, "log")).unwrap()[seen.len()..].to_vec()].concat();
    let lines: Vec<_> = seen.chunks(LINE).collect();
    assert!(lines.iter().all(|line| line.iter().all(|byte| *byte == line[0])), "a torn line");
    let count = |byte| lines.iter().filter(|line| line[0] == byte).count();
    assert_eq!((count(b'a'), count(b'b'), lines.len()), (EACH, EACH, 2 * EACH));
}

/// Whole pages, since the bytes of a page that the dead node had are gone.
#[test]
fn a_node_that_dies_while_it_appends_does_not_keep_others_from_appending() {
    let mut cluster = Cluster::new(3);
    drop(cluster.open(0, "log"));
    let mut ours = OpenOptions::new().append(true).open(cluster.path(0, "log")).unwrap();
    let path = cluster.path(2, "log");
    let dying = std::thread::spawn(move || {
        let mut theirs = OpenOptions::new().append(true).open(path).unwrap();
        // Until its node is gone.
        while theirs.write_all(&[1; PAGE]).is_ok() {}
    });
    while ours.metadata().unwrap().len() < 20 * PAGE as u64 {
        std::thread::yield_now();
    }
    cluster.kill(2);
    dying.join().unwrap();
    ours.write_all(&[2; PAGE]).unwrap();
    let size = ours.metadata().unwrap().len();
    let mut last = [0; PAGE];
    let there = fs::File::open(cluster.path(1, "log")).unwrap();
    there.read_exact_at(&mut last, size - PAGE as u64).unwrap();
    assert_eq!(last, [2; PAGE]);
}
