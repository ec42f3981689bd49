//! What programs that share memory see of each other, and of programs that go other ways.

use std::collections::HashMap;

use crate::program::{Program, value};
use crate::support::Cluster;

/// A program with a file of so many pages, not mapped yet.
fn with_file(cluster: &Cluster, node: usize, pages: usize) -> Program {
    let mut program = cluster.program(node);
    program.open("file");
    if program.get("size file") == "0" {
        program.get(&format!("cut file {}", pages * 4096));
    }
    program
}

fn sharer(cluster: &Cluster, node: usize, pages: usize) -> Program {
    let mut program = with_file(cluster, node, pages);
    program.get(&format!("share file {pages}"));
    program
}

fn counts(program: &mut Program) -> HashMap<String, u64> {
    let said = program.get("info file");
    let pair = |pair: &str| pair.split_once('=').map(|(name, count)| (name.into(), count.parse().unwrap()));
    said.split(' ').filter_map(pair).collect()
}

#[test]
fn stores_of_programs_on_two_nodes_see_each_other() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 16), sharer(&cluster, 1, 16));
    for round in 0..50 {
        a.get(&format!("store file 3 {round}"));
        assert_eq!(b.ask("load file 3"), value(round));
        b.get(&format!("store file 3 {}", round + 1000));
        assert_eq!(a.ask("load file 3"), value(round + 1000));
    }
    assert_eq!(counts(&mut a)["attached"], 1);
}

#[test]
fn readers_on_three_nodes_share_a_page_of_a_file_that_is_open_for_writing() {
    let cluster = Cluster::new(3);
    let mut all: Vec<_> = (0..3).map(|node| sharer(&cluster, node, 4)).collect();
    all[0].get("store file 1 42");
    for program in &mut all {
        assert_eq!(program.ask("load file 1"), value(42));
    }
    let before: Vec<_> = all.iter_mut().map(|program| counts(program)["faults"]).collect();
    for _ in 0..10 {
        for program in &mut all {
            assert_eq!(program.ask("load file 1"), value(42));
        }
    }
    let after: Vec<_> = all.iter_mut().map(|program| counts(program)["faults"]).collect();
    assert_eq!(before, after);
}

#[test]
fn every_way_to_a_page_sees_what_every_other_has_stored() {
    let cluster = Cluster::new(2);
    let mut ways: Vec<(Program, &str, &str)> = Vec::new();
    for node in 0..2 {
        ways.push((sharer(&cluster, node, 8), "load", "store"));
        let mut mapped = with_file(&cluster, node, 8);
        mapped.get("map file 8");
        ways.push((mapped, "load", "store"));
        ways.push((with_file(&cluster, node, 8), "pread", "pwrite"));
    }
    let mut number = 0;
    for round in 0..6 {
        for writer in 0..ways.len() {
            number += 1;
            let (program, _, store) = &mut ways[writer];
            program.get(&format!("{store} file 5 {number}"));
            for reader in 0..ways.len() {
                let (program, load, _) = &mut ways[(reader + round) % 6];
                assert_eq!(program.ask(&format!("{load} file 5")), value(number), "{writer} wrote");
            }
        }
    }
}

#[test]
fn two_programs_of_a_node_and_one_of_another_share_a_page() {
    let cluster = Cluster::new(2);
    let mut all: Vec<_> = [0, 0, 1].into_iter().map(|node| sharer(&cluster, node, 2)).collect();
    for number in 0..60 {
        all[number % 3].get(&format!("store file 0 {number}"));
        for program in &mut all {
            assert_eq!(program.ask("load file 0"), value(number));
        }
    }
}

#[test]
fn a_child_goes_on_sharing_with_everybody() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 8), sharer(&cluster, 1, 8));
    a.get("store file 0 1");
    b.get("store file 1 2");
    assert_eq!(a.ask("child load file 0"), value(1));
    assert_eq!(a.ask("child load file 1"), value(2));
    a.get("child store file 0 7");
    assert_eq!(a.ask("load file 0"), value(7));
    assert_eq!(b.ask("load file 0"), value(7));
    b.get("store file 0 8");
    assert_eq!(a.ask("child child load file 0"), value(8));
    for number in 0..20 {
        a.get(&format!("child store file 2 {number}"));
        assert_eq!(b.ask("load file 2"), value(number));
        b.get(&format!("child store file 2 {}", number + 100));
        assert_eq!(a.ask("child load file 2"), value(number + 100));
    }
}

#[test]
fn two_mappings_in_one_program_show_the_same_page() {
    let cluster = Cluster::new(2);
    let mut a = with_file(&cluster, 0, 16);
    let mut b = sharer(&cluster, 1, 16);
    a.get("share file 16 0 0x300100000000");
    a.open_as("file", "rw");
    a.get("share file 16");
    a.get("store file 3 1");
    assert_eq!(b.ask("load file 3"), value(1));
    b.get("store file 3 2");
    assert_eq!(a.ask("load file 3"), value(2));
    // The first mapping is only known to the daemon by now; taking the page must reach both.
    a.get("move file 3 1 moved");
    assert_eq!(a.ask("load moved 0"), value(2));
    b.get("store file 3 3");
    assert_eq!(a.ask("load moved 0"), value(3));
}

#[test]
fn what_a_program_does_to_its_mappings_is_followed() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 32), sharer(&cluster, 1, 32));
    for page in 0..32 {
        a.get(&format!("store file {page} {page}"));
    }
    a.get("msync file");
    a.get("unmap file 8 4");
    assert_eq!(a.ask("child load file 9"), value("died 11"));
    assert_eq!(a.ask("load file 12"), value(12));
    b.get("store file 12 1012");
    assert_eq!(a.ask("load file 12"), value(1012));
    a.get("move file 16 8 moved");
    assert_eq!(a.ask("load moved 1"), value(17));
    b.get("store file 17 1017");
    assert_eq!(a.ask("load moved 1"), value(1017));
    a.get("store moved 1 2017");
    assert_eq!(b.ask("load file 17"), value(2017));
    a.get("dontneed file 0 4");
    assert_eq!(a.ask("load file 2"), value(2));
    a.get("protect file 0 2 read");
    assert_eq!(a.ask("load file 1"), value(1));
    assert_eq!(a.ask("child store file 1 5"), value("died 11"));
    b.get("store file 1 1001");
    assert_eq!(a.ask("load file 1"), value(1001));
    a.get("protect file 0 2 write");
    a.get("store file 1 2001");
    assert_eq!(b.ask("load file 1"), value(2001));
}

#[test]
fn a_mapping_that_is_enlarged_in_place_is_shared_as_a_whole() {
    let cluster = Cluster::new(2);
    let mut a = with_file(&cluster, 0, 32);
    let mut b = sharer(&cluster, 1, 32);
    a.get("share file 8");
    a.get("store file 7 7");
    a.get("enlarge file 32");
    b.get("store file 20 20");
    assert_eq!(a.ask("load file 20"), value(20));
    a.get("store file 31 31");
    assert_eq!(b.ask("load file 31"), value(31));
    b.get("store file 20 21");
    assert_eq!(a.ask("load file 20"), value(21));
}

#[test]
fn system_calls_on_shared_memory_work_and_fail_with_efault_behind_the_end() {
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, 4), sharer(&cluster, 1, 8));
    b.get("store file 2 9");
    assert_eq!(a.ask("read_into file 2"), value(8));
    assert_eq!(b.ask("load file 2"), value(0));
    assert_eq!(b.ask("child read_into file 6"), value("errno 14"));
}

/// More than a process may have mappings (65,530 by default).
#[test]
fn scattered_pages_need_no_mapping_each() {
    const PAGES: usize = 100_000;
    let cluster = Cluster::with(1, "memory=600M");
    let mut a = sharer(&cluster, 0, 3 * PAGES);
    let before: usize = a.get("mappings").parse().unwrap();
    // In parts: each is waited for as long as a busy machine takes.
    for part in 0..10 {
        let (first, pages) = (part * 3 * PAGES / 10, PAGES / 10);
        assert_eq!(a.ask(&format!("touch file {first} 3 {pages}")), value(pages));
    }
    let after: usize = a.get("mappings").parse().unwrap();
    assert!(after <= before + 2, "{before} mappings, then {after}");
    for part in 0..10 {
        let (first, pages) = (part * 3 * PAGES / 10, PAGES / 10);
        assert_eq!(a.ask(&format!("sum file {first} 3 {pages}")), value(pages * (pages + 1) / 2));
    }
}

#[test]
fn pages_in_order_are_all_right_however_many_are_mapped_at_once() {
    const PAGES: usize = 3_000;
    let cluster = Cluster::new(2);
    let (mut a, mut b) = (sharer(&cluster, 0, PAGES), sharer(&cluster, 1, PAGES));
    assert_eq!(a.ask(&format!("touch file 0 1 {PAGES}")), value(PAGES));
    assert_eq!(b.ask(&format!("sum file 0 1 {PAGES}")), value(PAGES * (PAGES + 1) / 2));
    let (before, _) = (counts(&mut b)["faults"], b.get(&format!("sum file 0 1 {PAGES}")));
    assert_eq!(counts(&mut b)["faults"], before);
    // Those that were mapped unasked are taken back like the others.
    for page in [0, 1, 30, 31, 700, 2_999] {
        a.get(&format!("store file {page} 0"));
        assert_eq!(b.ask(&format!("load file {page}")), value(0));
    }
    assert_eq!(b.ask(&format!("touch file 0 1 {PAGES}")), value(PAGES));
    assert_eq!(a.ask(&format!("sum file 0 1 {PAGES}")), value(PAGES * (PAGES + 1) / 2));
}
