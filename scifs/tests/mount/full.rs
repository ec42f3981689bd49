//! A cluster whose memory is used up.

use std::time::{Duration, Instant};

use crate::program::{Answer, PATIENCE, Program, SIGBUS, value};
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

#[test]
fn writes_into_a_full_cluster_end_in_enospc_lose_nothing_and_go_on_when_a_file_is_deleted() {
    let cluster = Cluster::with(2, OPTIONS);
    let mut writer = program(&cluster, 0, "kept");
    let kept = NODE / 2;
    assert_eq!(writer.ask(&format!("fill kept 0 {kept} 1")), value(kept));
    writer.open("filler");
    let said = writer.get(&format!("fill filler 0 {} 2", 4 * NODE));
    let (filled, why) = said.split_once(' ').unwrap_or_else(|| panic!("everything fitted: {said}"));
    let filled: usize = filled.parse().unwrap();
    assert_eq!(why, "errno 28", "after {filled} pages");
    assert!(filled + kept > NODE, "{filled} pages: no more than one node has");
    let mut other = program(&cluster, 1, "kept");
    other.open("filler");
    for program in [&mut writer, &mut other] {
        assert_eq!(program.ask(&format!("check kept 0 {kept} 1")), value(kept));
        assert_eq!(program.ask(&format!("check filler 0 {filled} 2")), value(filled));
    }
    // What is there can be written to, from both.
    for (program, seed) in [(&mut writer, 3), (&mut other, 4)] {
        assert_eq!(program.ask(&format!("fill kept 0 100 {seed}")), value(100));
    }
    assert_eq!(writer.ask("check kept 0 100 4"), value(100));
    other.get("close filler");
    writer.get("close filler");
    writer.get(&format!("unlink {}", cluster.path(0, "filler").display()));
    wait_for_room(&mut writer, &cluster, kept as u64);
    writer.open("again");
    assert_eq!(writer.ask(&format!("fill again 0 {kept} 5")), value(kept));
    assert_eq!(writer.ask(&format!("check again 0 {kept} 5")), value(kept));
    assert_eq!(writer.ask(&format!("check kept 100 {} 1", kept - 100)), value(kept - 100));
}

#[test]
fn stores_into_a_full_cluster_end_in_sigbus_and_lose_nothing() {
    let cluster = Cluster::with(2, OPTIONS);
    let mut writer = program(&cluster, 0, "kept");
    let (kept, pages) = (NODE / 2, 4 * NODE);
    assert_eq!(writer.ask(&format!("fill kept 0 {kept} 1")), value(kept));
    let mut victim = program(&cluster, 1, "filler");
    victim.get(&format!("cut filler {}", pages * 4096));
    victim.get(&format!("map filler {pages}"));
    assert_eq!(victim.ask(&format!("store_all filler 0 {pages} 2")), SIGBUS);
    let mut reader = program(&cluster, 0, "filler");
    reader.open("kept");
    let stored: usize = reader.get(&format!("check_stores filler 0 {pages} 2")).parse().unwrap();
    assert!(stored + kept > NODE, "{stored} pages: no more than one node has");
    let mut elsewhere = program(&cluster, 1, "filler");
    assert_eq!(elsewhere.ask(&format!("check filler 0 {stored} 2")), value(stored));
    assert_eq!(reader.ask(&format!("check kept 0 {kept} 1")), value(kept));
    elsewhere.get("close filler");
    reader.get("close filler");
    reader.get(&format!("unlink {}", cluster.path(0, "filler").display()));
    wait_for_room(&mut reader, &cluster, kept as u64);
    let mut mapper = program(&cluster, 1, "again");
    mapper.get(&format!("cut again {}", kept * 4096));
    mapper.get(&format!("map again {kept}"));
    assert_eq!(mapper.ask(&format!("store_all again 0 {kept} 3")), value(kept));
    assert_eq!(reader.ask(&format!("check kept 0 {kept} 1")), value(kept));
    assert!(!matches!(mapper.ask("load again 0"), Answer::Nothing));
}
