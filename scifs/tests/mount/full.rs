//! A cluster whose memory is used up.

use std::time::{Duration, Instant};

use crate::program::{ENOSPC, PATIENCE, Program, SIGBUS, value};
use crate::support::Cluster;

/// Of one node, in pages.
const NODE: usize = 4096;
const OPTIONS: &str = "memory=16M";

fn program(cluster: &Cluster, node: usize, file: &str) -> Program {
    let mut program = cluster.program(node);
    program.open(file);
    program
}

/// Deleted pages come back when every node has let go of the file.
fn wait_for_room(program: &mut Program, cluster: &Cluster, pages: u64) {
    let deadline = Instant::now() + PATIENCE;
    let order = format!("free {}", cluster.mountpoint(0).display());
    loop {
        let free: u64 = program.get(&order).parse().unwrap();
        if free >= pages {
            return;
        }
        assert!(Instant::now() < deadline, "only {free} pages are free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_file_larger_than_a_nodes_memory_lies_in_the_memory_of_others() {
    let cluster = Cluster::with(3, OPTIONS);
    let pages = NODE * 2;
    let mut writer = program(&cluster, 1, "file");
    assert_eq!(writer.ask(&format!("fill file 0 {pages} 1")), value(pages));
    for node in 0..3 {
        let mut reader = program(&cluster, node, "file");
        assert_eq!(reader.ask(&format!("check file 0 {pages} 1")), value(pages), "node {node}");
    }
}

#[test]
fn a_mapping_larger_than_a_nodes_memory_lies_in_the_memory_of_others() {
    let cluster = Cluster::with(3, OPTIONS);
    let pages = NODE * 3 / 2;
    let mut writer = program(&cluster, 1, "file");
    writer.get(&format!("cut file {}", pages * 4096));
    writer.get(&format!("map file {pages}"));
    assert_eq!(writer.ask(&format!("store_all file 0 {pages} 1")), value(pages));
    let mut reader = program(&cluster, 2, "file");
    assert_eq!(reader.ask(&format!("check file 0 {pages} 1")), value(pages));
}

/// A file on each node that is deleted when the cluster is full, and one that stays.
fn prepare(cluster: &Cluster) -> [Program; 2] {
    [0, 1].map(|node| {
        let mut program = program(cluster, node, "kept");
        program.get(&format!("fill kept {} {SMALL} 1", node * SMALL));
        let spare = format!("spare{node}");
        program.open(&spare);
        assert_eq!(program.ask(&format!("fill {spare} 0 {SMALL} 9")), value(SMALL));
        program.get(&format!("close {spare}"));
        program
    })
}

const SMALL: usize = NODE / 4;

/// Free only when both files that were deleted have given their pages back: a full node keeps a sixteenth from writes, so one of the
/// files and what two nodes keep are less than this.
const BOTH_SPARES: u64 = (SMALL * 2 - SMALL / 4) as u64;

/// Everything that was written can be read on both nodes, also while there is no room. There is room again when files are deleted.
fn nothing_is_lost(cluster: &Cluster, mut programs: [Program; 2], filled: usize) {
    all_is_there(&mut programs, filled);
    for node in 0..2 {
        programs[0].get(&format!("unlink {}", cluster.path(0, &format!("spare{node}")).display()));
    }
    wait_for_room(&mut programs[0], cluster, BOTH_SPARES);
    all_is_there(&mut programs, filled);
    assert_eq!(programs[1].ask("fill kept 0 100 4"), value(100));
    assert_eq!(programs[0].ask("check kept 0 100 4"), value(100));
    // Its home may be the fuller one of the nodes: what the others have free they had said a while ago.
    let few = SMALL / 8;
    programs[0].open("again");
    assert_eq!(programs[0].ask(&format!("fill again 0 {few} 5")), value(few));
    assert_eq!(programs[0].ask(&format!("check again 0 {few} 5")), value(few));
}

fn all_is_there(programs: &mut [Program; 2], filled: usize) {
    for (program, node) in programs.iter_mut().zip(0..) {
        program.open_as("filler", "r");
        assert_eq!(program.ask(&format!("check kept 0 {} 1", 2 * SMALL)), value(2 * SMALL), "node {node}");
        assert_eq!(program.ask(&format!("check filler 0 {filled} 2")), value(filled), "node {node}");
    }
}

#[test]
fn writes_into_a_full_cluster_end_in_enospc_lose_nothing_and_go_on_when_a_file_is_deleted() {
    let cluster = Cluster::with(2, OPTIONS);
    let mut programs = prepare(&cluster);
    programs[0].open("cut_short");
    programs[0].get("pwrite cut_short 0 7");
    programs[0].open("filler");
    let said = programs[0].get(&format!("fill filler 0 {} 2", 4 * NODE));
    let (filled, why) = said.split_once(' ').unwrap_or_else(|| panic!("everything fitted: {said}"));
    let filled: usize = filled.parse().unwrap();
    assert_eq!(why, "errno 28", "after {filled} pages");
    assert!(filled + 4 * SMALL > NODE * 5 / 4, "{filled} pages: hardly more than one node has");
    programs[0].get("close filler");
    // Its first page takes the bytes, all others don't: none of them may show when the file becomes longer.
    assert_eq!(programs[0].ask("spoil cut_short 8 256"), ENOSPC);
    assert_eq!(programs[0].get("size cut_short"), "8");
    programs[0].get("cut cut_short 8192");
    assert_eq!(programs[0].ask("zeros cut_short 8 8184"), value(8184));
    nothing_is_lost(&cluster, programs, filled);
}

#[test]
fn stores_into_a_full_cluster_end_in_sigbus_and_lose_nothing() {
    let cluster = Cluster::with(2, OPTIONS);
    let programs = prepare(&cluster);
    let pages = 4 * NODE;
    let mut victim = program(&cluster, 1, "filler");
    victim.get(&format!("cut filler {}", pages * 4096));
    victim.get(&format!("map filler {pages}"));
    victim.begin(&format!("store_all filler 0 {pages} 2"));
    assert_eq!(victim.answer(PATIENCE), SIGBUS);
    let mut reader = program(&cluster, 0, "filler");
    let stored: usize = reader.get(&format!("check_stores filler 0 {pages} 2")).parse().unwrap();
    assert!(stored + 4 * SMALL > NODE * 5 / 4, "{stored} pages: hardly more than one node has");
    drop(reader);
    nothing_is_lost(&cluster, programs, stored);
}
