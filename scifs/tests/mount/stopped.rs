//! Nodes that stand still, die, or are cut off for longer than the failure timeout.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::program::{Answer, EAGAIN, EIO, PATIENCE, Program, SIGBUS, value};
use crate::support::Cluster;

const OPTIONS: &str = "memory=64M,failure_timeout_ms=1500";
/// The failure timeout and two seconds.
const BOUND: Duration = Duration::from_millis(3500);

/// Programs with the file open and mapped, one on each node.
fn programs(cluster: &Cluster, nodes: usize) -> Vec<Program> {
    let start = |node| {
        let mut program = cluster.program(node);
        program.open("file");
        if node == 0 {
            program.get("cut file 65536");
        }
        program.get("map file 16");
        program
    };
    (0..nodes).map(start).collect()
}

/// It went on, or it was told so, within the bound.
fn is_answered(program: &mut Program, order: &str) -> Answer {
    let begun = Instant::now();
    program.begin(order);
    let answer = program.answer(PATIENCE);
    let took = begun.elapsed();
    assert!(took < BOUND, "{order} took {took:?}: {answer:?}");
    assert!(matches!(answer, Answer::Ok(_)) || answer == EIO, "{order}: {answer:?}");
    answer
}

/// A node between two memberships says EIO.
fn wait_until_served(cluster: &Cluster, node: usize) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = fs::write(cluster.path(node, "served"), b"again") {
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
        assert!(Instant::now() < deadline, "node {node} doesn't serve again");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// It was answered, or told in time that the page went with the node that had it.
fn is_lost_or_kept(program: &mut Program, order: &str) {
    let begun = Instant::now();
    let answer = program.ask(order);
    let took = begun.elapsed();
    assert!(took < BOUND, "{order} took {took:?}: {answer:?}");
    assert!(matches!(answer, Answer::Ok(_)) || [EIO, SIGBUS].contains(&answer), "{order}: {answer:?}");
}

#[test]
fn a_node_that_was_stopped_for_too_long_serves_again_with_what_others_wrote_meanwhile() {
    let cluster = Cluster::with(3, OPTIONS);
    let mut all = programs(&cluster, 2);
    all[0].get("store file 1 11");
    all[1].get("store file 6 22");
    let mut writer = cluster.program(0);
    writer.open("other");
    writer.get("fill other 0 4 1");
    // What the node knows: pages, in the kernel too, sizes, what a folder holds.
    let mut reader = cluster.program(2);
    for name in ["file", "other"] {
        reader.open_as(name, "r");
        reader.get(&format!("map {name} {}", if name == "file" { 16 } else { 4 }));
    }
    assert_eq!([reader.get("load file 1"), reader.get("load file 6")], ["11", "22"]);
    assert_eq!((reader.get("check other 0 4 1"), reader.get("size other")), ("4".into(), "16384".into()));
    let mut waiter = cluster.program(2);
    waiter.open("file");

    cluster.signal(2, Signal::STOP);
    waiter.begin_waiting("pread file 1");
    assert_eq!(is_answered(&mut all[0], "store file 1 111"), value(0));
    assert_eq!(is_answered(&mut all[1], "pwrite file 6 222"), value(8));
    assert_eq!(is_answered(&mut all[1], "store file 12 333"), value(0));
    assert_eq!(is_answered(&mut writer, "cut other 4096"), value(0));
    assert_eq!(is_answered(&mut writer, "cut other 8192"), value(0));
    fs::write(cluster.path(0, "new"), b"made meanwhile").unwrap();
    cluster.signal(2, Signal::CONT);

    let told = waiter.answer(PATIENCE);
    assert!(told == EIO || told == value(111), "who waited for the stopped node: {told:?}");
    wait_until_served(&cluster, 2);
    // Also with files and mappings that were opened in the membership before.
    for (page, expected) in [(1, "111"), (6, "222"), (12, "333")] {
        assert_eq!(reader.get(&format!("load file {page}")), expected);
        assert_eq!(waiter.get(&format!("pread file {page}")), expected);
    }
    assert_eq!(reader.get("size other"), "8192");
    assert_eq!([reader.get("check other 0 4 1"), reader.get("pread other 1")], ["1", "0"]);
    assert_eq!([reader.get("load other 1"), reader.get("pread other 2")], ["0", "0"]);
    assert_eq!(reader.get(&format!("stat {}", cluster.path(2, "other").display())), "8192");
    assert_eq!(fs::read(cluster.path(2, "new")).unwrap(), b"made meanwhile");
    // And it takes part again in both directions.
    waiter.get("map file 16");
    waiter.get("store file 1 5");
    assert_eq!(all[0].get("load file 1"), "5");
    all[1].get("store file 6 6");
    assert_eq!([waiter.get("load file 6"), reader.get("load file 6")], ["6", "6"]);
    waiter.get("flock file exclusive try");
}

#[test]
fn pages_that_only_a_stopped_node_has_are_given_up_in_time_and_can_be_written_anew() {
    let cluster = Cluster::with(3, OPTIONS);
    let mut all = programs(&cluster, 3);
    (0..4).for_each(|page| drop(all[2].get(&format!("store file {page} 22"))));
    all[2].get("flock file exclusive try");
    cluster.signal(2, Signal::STOP);
    is_lost_or_kept(&mut all[0], "pread file 1");
    is_lost_or_kept(&mut all[1], "load file 2");
    assert_eq!(is_answered(&mut all[0], "flock file exclusive wait"), value(0));
    assert_eq!(is_answered(&mut all[0], "fill file 1 1 7"), value(1), "a whole page");
    assert_eq!(is_answered(&mut all[0], "check file 1 1 7"), value(1));
    cluster.signal(2, Signal::CONT);
    wait_until_served(&cluster, 2);
    let mut again = cluster.program(2);
    again.open("file");
    assert_eq!(again.get("check file 1 1 7"), "1");
    assert_eq!(again.ask("flock file exclusive try"), EAGAIN);
}

#[test]
fn a_program_that_has_an_unlinked_file_open_on_a_stopped_node_never_sees_another_files_bytes() {
    let cluster = Cluster::with(3, OPTIONS);
    let mut program = cluster.program(2);
    program.open("gone");
    program.get("fill gone 0 4 1");
    cluster.signal(2, Signal::STOP);
    fs::remove_file(cluster.path(0, "gone")).unwrap();
    let mut others = programs(&cluster, 1);
    is_answered(&mut others[0], "pwrite file 1 1");
    cluster.signal(2, Signal::CONT);
    // Until it is expelled it may be answered from what it has.
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        match program.ask("check gone 0 1 1") {
            Answer::Ok(right) if right == "1" && Instant::now() < deadline => {}
            other => break other,
        }
    };
    assert!(matches!(answer, Answer::Errno(_)), "{answer:?}");
    wait_until_served(&cluster, 2);
    assert!(matches!(program.ask("check gone 0 1 1"), Answer::Errno(_)));
}

#[test]
fn survivors_are_blocked_no_longer_than_the_failure_timeout_when_a_node_is_killed() {
    for victim in [0, 2] {
        let cluster = Cluster::with(3, OPTIONS);
        let mut all = programs(&cluster, 3);
        for page in 0..8 {
            all[victim].get(&format!("store file {page} {page}"));
        }
        all[victim].get("lock file posix try write 0 0");
        cluster.signal(victim, Signal::KILL);
        for node in (0..3).filter(|node| *node != victim) {
            for order in ["pread file 1", "pwrite file 2 2", "lock file posix wait write 0 0", "size file"] {
                is_lost_or_kept(&mut all[node], order);
            }
            is_answered(&mut all[node], "lock file posix try none 0 0");
            is_answered(&mut all[node], &format!("list {}", cluster.mountpoint(node).display()));
        }
    }
}

#[test]
fn a_node_without_the_others_serves_nothing_until_they_are_back() {
    let cluster = Cluster::with(3, OPTIONS);
    let mut all = programs(&cluster, 3);
    all[2].get("store file 1 11");
    all[2].get("store file 2 12");
    cluster.signal(0, Signal::STOP);
    cluster.signal(1, Signal::STOP);
    // Its lease runs out; then the kernel holds none of its pages any more.
    let deadline = Instant::now() + PATIENCE;
    loop {
        all[2].begin("load file 1");
        match all[2].answer(Duration::from_secs(1)) {
            Answer::Ok(value) => assert!(value == "11" && Instant::now() < deadline, "{value}"),
            Answer::Nothing => break,
            other => panic!("{other:?}"),
        }
    }
    let mut late = cluster.program(2);
    late.begin(&format!("stat {}", cluster.path(2, "file").display()));
    assert!(!matches!(late.answer(Duration::from_millis(300)), Answer::Ok(_)));
    cluster.signal(0, Signal::CONT);
    cluster.signal(1, Signal::CONT);
    // Nobody was expelled, or the one who waits is told.
    let told = all[2].answer(PATIENCE);
    assert!([value(11), Answer::Died(7)].contains(&told), "{told:?}");
    (0..3).for_each(|node| wait_until_served(&cluster, node));
    let mut again = programs(&cluster, 3);
    again[0].get("store file 1 100");
    assert_eq!(again[1].get("load file 1"), "100");
    assert_eq!(again[2].get("pread file 1"), "100");
}
