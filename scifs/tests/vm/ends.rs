//! Ends of all kinds: of files, of their names, of programs, of nodes.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::program::{Answer, Program, SIGBUS, value};
use crate::support::Cluster;

fn sharer(cluster: &Cluster, node: usize, pages: usize) -> Program {
    let mut program = cluster.program(node);
    program.open("file");
    program.get(&format!("cut file {}", pages * 4096));
    program.get(&format!("share file {pages}"));
    program
}

#[test]
fn what_is_cut_off_is_a_bus_error_until_the_file_has_grown_again() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 16), sharer(&cluster, 1, 16));
    a.get("store file 10 10");
    assert_eq!(b.ask("load file 10"), value(10));
    b.get("cut file 8192");
    assert_eq!(a.ask("child load file 10"), value("died 7"));
    assert_eq!(b.ask("child load file 2"), value("died 7"));
    assert_eq!(b.ask("load file 1"), value(0));
    // The parent itself touches it, and learns of it as an error of a system call.
    assert_eq!(a.ask("read_into file 10"), Answer::Errno(14));
    b.get("cut file 65536");
    assert_eq!(a.ask("load file 10"), value(0));
    a.get("store file 10 11");
    assert_eq!(b.ask("load file 10"), value(11));
}

#[test]
fn a_file_without_a_name_lives_as_long_as_it_is_shared() {
    let cluster = Cluster::new(2);
    let mut a = sharer(&cluster, 0, 4);
    a.get("store file 0 5");
    a.get("close file");
    let path = cluster.path(1, "file");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(a.ask("load file 0"), value(5));
    a.get("store file 3 6");
    assert_eq!(a.ask("child load file 3"), value(6));
    a.get("unmap file 0 4");
}

#[test]
fn a_program_that_is_killed_leaves_nothing_stuck() {
    let cluster = Cluster::new(2);
    let mut b = sharer(&cluster, 1, 64);
    for round in 0..20_u64 {
        let mut a = sharer(&cluster, 0, 64);
        a.begin("store_all file 0 64 1");
        b.get(&format!("store file {} 3", round % 64));
        std::thread::sleep(Duration::from_micros(200 * round));
        assert!(a.kill());
    }
    assert_eq!(b.ask("touch file 0 1 64"), value(64));
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut c = sharer(&cluster, 0, 64);
    while !c.get("info file").contains("attached=1 ") {
        assert!(Instant::now() < deadline, "dead programs are still counted: {}", c.get("info file"));
        std::thread::yield_now();
    }
}

#[test]
fn a_stopped_program_gives_its_pages_up_all_the_same() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 4), sharer(&cluster, 1, 4));
    a.get("store file 0 5");
    a.signal(Signal::STOP);
    assert_eq!(b.ask("load file 0"), value(5));
    b.get("store file 0 6");
    a.signal(Signal::CONT);
    assert_eq!(a.ask("load file 0"), value(6));
}

#[test]
fn the_death_of_another_node_ends_in_data_or_a_bus_error() {
    let mut cluster = Cluster::with(3, "memory=128M,failure_timeout_ms=2000");
    let (mut a, mut b) = (sharer(&cluster, 0, 16), sharer(&cluster, 1, 16));
    for page in 0..16 {
        b.get(&format!("store file {page} {}", page + 100));
    }
    assert_eq!(a.ask("load file 0"), value(100));
    cluster.kill(1);
    assert_eq!(a.ask("load file 0"), value(100));
    for page in 1..16 {
        let answer = a.ask(&format!("child load file {page}"));
        let fine = [value(page + 100), value("died 7")];
        assert!(fine.contains(&answer), "page {page}: {answer:?}");
    }
    a.get("store file 0 7");
    assert_eq!(a.ask("load file 0"), value(7));
}

#[test]
fn programs_get_a_bus_error_when_their_own_daemon_is_killed() {
    let mut cluster = Cluster::new(1);
    let mut a = sharer(&cluster, 0, 16);
    a.get("store file 0 5");
    cluster.kill(0);
    assert_eq!(a.ask("child load file 3"), value("died 7"));
    assert_eq!(a.ask("child load file 0"), value("died 7"));
    assert_eq!(a.ask("load file 0"), SIGBUS);
}

#[test]
fn programs_get_a_bus_error_when_their_node_leaves() {
    let mut cluster = Cluster::new(2);
    let mut a = sharer(&cluster, 0, 16);
    let mut b = sharer(&cluster, 1, 16);
    a.get("store file 0 5");
    a.get("close file");
    assert!(cluster.unmount(0));
    assert_eq!(a.ask("child load file 3"), value("died 7"));
    assert_eq!(a.ask("load file 0"), SIGBUS);
    assert_eq!(b.ask("load file 0"), value(5));
}

#[test]
fn pages_leave_a_node_that_is_short_of_memory_and_come_back() {
    const PAGES: usize = 6_000;
    let cluster = Cluster::with(2, "memory=16M");
    let mut b = sharer(&cluster, 1, 1);
    b.get(&format!("cut file {}", PAGES * 4096));
    let mut a = sharer(&cluster, 0, PAGES);
    assert_eq!(a.ask(&format!("touch file 0 1 {PAGES}")), value(PAGES));
    assert_eq!(a.ask(&format!("sum file 0 1 {PAGES}")), value(PAGES * (PAGES + 1) / 2));
}
