//! Nodes that leave in an orderly way take nothing along.

use std::sync::atomic::{AtomicBool, Ordering};

use scios::limits::PAGE_BYTES;

use super::super::PageFault;
use super::cluster::{Cluster, Setting};

const PAGE: u64 = PAGE_BYTES as u64;

/// Inode and page of the pages that the tests fill, spread over a few extents.
fn places(count: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..count).map(|n| (7 + n % 3, n * 5))
}

#[test]
fn what_a_leaving_node_wrote_stays_and_what_nobody_wrote_reads_as_zeros() {
    let mut cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    for (n, (inode, page)) in places(3_000).enumerate() {
        // Most is touched by the leaver first, so that it is home; of some it only has the newest bytes, or a copy.
        let (first, last) = if n % 4 == 0 { (1, 2) } else { (2, 2 - n % 2) };
        cluster.nodes[first].write(inode, page * PAGE, b"first").unwrap();
        cluster.nodes[last].write(inode, page * PAGE, &page.to_le_bytes()).unwrap();
        if n % 3 == 0 {
            assert_eq!(cluster.nodes[2].read(inode, page * PAGE, 8).unwrap(), page.to_le_bytes());
        }
    }
    cluster.nodes[2].open(99);
    for page in 0..64 {
        cluster.nodes[2].increment(99, page);
    }
    assert!(cluster.leave(2));
    for node in &cluster.nodes {
        for (inode, page) in places(3_000) {
            assert_eq!(node.read(inode, page * PAGE, 8).unwrap(), page.to_le_bytes(), "{inode} {page}");
            assert_eq!(node.read(inode, (page + 1) * PAGE, 8).unwrap(), [0; 8], "{inode} {page}");
        }
        for page in 0..64 {
            assert_eq!(node.load(99, page), 1);
        }
    }
    // And the next one, so that everything is at the last.
    assert!(cluster.leave(1));
    for (inode, page) in places(3_000) {
        assert_eq!(cluster.nodes[0].read(inode, page * PAGE, 8).unwrap(), page.to_le_bytes());
        assert_eq!(cluster.nodes[0].read(inode, (page + 2) * PAGE, 8).unwrap(), [0; 8]);
    }
}

#[test]
fn a_node_leaves_while_the_others_count_in_its_pages_and_no_count_is_lost() {
    const PAGES: u32 = 16;
    let mut cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    cluster.nodes.iter().for_each(|node| node.open(7));
    for page in 0..PAGES {
        cluster.nodes[2].increment(7, page);
    }
    let leaver = cluster.nodes.remove(2);
    let stop = AtomicBool::new(false);
    let counted: u64 = std::thread::scope(|scope| {
        let count = |node: &super::cluster::Node| {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                node.increment(7, done as u32 % PAGES);
                done += 1;
            }
            done
        };
        let others: Vec<_> = cluster.nodes.iter().map(|node| scope.spawn(move || count(node))).collect();
        let handed_over = leaver.pages.hand_over();
        assert!(handed_over.is_some());
        assert!(cluster.take_out_of_view(leaver, handed_over));
        let before = cluster.nodes[0].load(7, 0);
        super::cluster::eventually("the others go on", || cluster.nodes[0].load(7, 0) > before + 20);
        stop.store(true, Ordering::Relaxed);
        others.into_iter().map(|other| other.join().unwrap()).sum()
    });
    let total: u64 = (0..PAGES).map(|page| cluster.nodes[1].load(7, page)).sum();
    assert_eq!(total, counted + u64::from(PAGES));
}

#[test]
fn who_finds_no_room_says_so_and_what_is_lost_never_reads_as_zeros() {
    let mut cluster = Cluster::new(&Setting { nodes: 1, memory_bytes: 16 << 20, ..Setting::default() });
    cluster.add(&Setting { memory_bytes: 4 << 20, ..Setting::default() });
    for page in 0..2_000u64 {
        cluster.nodes[0].write(7, page * PAGE, &(page + 1).to_le_bytes()).unwrap();
    }
    assert!(!cluster.leave(0));
    let mut kept = 0;
    for page in 0..2_000u64 {
        match cluster.nodes[0].read(7, page * PAGE, 8) {
            Ok(bytes) => {
                assert_eq!(bytes, (page + 1).to_le_bytes());
                kept += 1;
            }
            Err(fault) => assert_eq!(fault, PageFault::Lost),
        }
    }
    assert!((1..1_100).contains(&kept), "{kept} pages fit");
}
