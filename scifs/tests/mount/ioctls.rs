//! The ioctls of `scifs_client::abi`, as programs call them.

use std::time::{Duration, Instant};

use crate::program::{EBADF, EINVAL, ENOTTY, PATIENCE, Program};
use crate::support::Cluster;

fn number(program: &mut Program, file: &str, name: &str) -> u64 {
    let info = program.get(&format!("info {file}"));
    let field = info.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    field.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
}

#[test]
fn info_of_a_file_and_of_a_folder_tells_about_the_node_and_its_cluster() {
    let cluster = Cluster::new(2);
    for (node, expected) in [(0, 1), (1, 2)] {
        let mut program = cluster.program(node);
        program.open("file");
        program.open_as(".", "r");
        for file in ["file", "."] {
            assert_eq!(number(&mut program, file, "node"), expected);
            assert_eq!(number(&mut program, file, "nodes"), 2);
            assert_eq!(number(&mut program, file, "version"), 1);
            assert_eq!(number(&mut program, file, "budget"), 128 << 20);
        }
    }
}

#[test]
fn prefetched_pages_come_without_being_touched_and_are_the_right_ones() {
    const PAGES: u64 = 5_000;
    let cluster = Cluster::new(2);
    let mut both = [cluster.program(0), cluster.program(1)];
    both.iter_mut().for_each(|program| program.open("file"));
    both[0].get(&format!("fill file 0 {PAGES} 7"));
    let before = number(&mut both[1], "file", "received");
    both[1].get(&format!("prefetch file 0 {PAGES} read"));
    let deadline = Instant::now() + PATIENCE;
    while number(&mut both[1], "file", "received") < before + PAGES {
        assert!(Instant::now() < deadline, "not all pages came: {}", both[1].get("info file"));
        std::thread::sleep(Duration::from_millis(1));
    }
    let here = number(&mut both[1], "file", "received");
    assert_eq!(both[1].get(&format!("check file 0 {PAGES} 7")), PAGES.to_string());
    assert_eq!(number(&mut both[1], "file", "received"), here, "none had to be fetched any more");
    both[1].get("prefetch file 4000 5000 write");
    both[1].get("prefetch file 9000 1 read");
}

#[test]
fn ioctls_that_make_no_sense_are_refused() {
    let cluster = Cluster::new(1);
    let mut program = cluster.program(0);
    program.open("file");
    program.open_as(".", "r");
    assert_eq!(program.ask("unknown file 0x4010F577"), ENOTTY);
    assert_eq!(program.ask("unknown . 0x4010F577"), ENOTTY);
    assert_eq!(program.ask("prefetch . 0 1 read"), ENOTTY);
    assert_eq!(program.ask("prefetch file 0 1 both"), EINVAL);
    program.get("close file");
    program.open_as("file", "r");
    assert_eq!(program.ask("prefetch file 0 1 write"), EBADF);
}
