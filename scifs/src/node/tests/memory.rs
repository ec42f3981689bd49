//! Memory that is full, pages that leave, files that are cut and deleted.

use scios::limits::PAGE_BYTES;

use super::super::{Layout, PageFault, Piece};
use super::cluster::{Cluster, Setting, eventually};

const PAGE: u64 = PAGE_BYTES as u64;

fn layout(pieces: &[(u32, u32)]) -> Layout {
    let piece =
        |(first_page, generation): &(u32, u32)| Piece { first_page: *first_page, generation: *generation };
    Layout::new(pieces.iter().map(piece).collect())
}

#[test]
fn a_full_node_refuses_and_loses_nothing() {
    let cluster = Cluster::new(&Setting { nodes: 1, memory_bytes: 4 << 20, ..Setting::default() });
    let node = &cluster.nodes[0];
    let full = (0..2_000).find(|page| {
        let written = node.write(7, page * PAGE, &page.to_le_bytes());
        assert!(matches!(written, Ok(()) | Err(PageFault::Full)));
        written.is_err()
    });
    let full = full.unwrap();
    assert!(full > 500, "only {full} pages fit");
    for page in 0..full {
        assert_eq!(node.read(7, page * PAGE, 8).unwrap(), page.to_le_bytes());
    }
    node.pages.forget(7);
    node.write(8, 0, b"room again").unwrap();
}

#[test]
fn pages_of_others_leave_a_full_node_and_come_back() {
    let cluster = Cluster::new(&Setting { memory_bytes: 8 << 20, ..Setting::default() });
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    // More than b has, in files whose home is a and whose pages b wrote last.
    for page in 0..1_200u64 {
        a.write(7, page * PAGE, b"touched").unwrap();
    }
    for page in 0..1_200u64 {
        b.write(7, page * PAGE, &page.to_le_bytes()).unwrap();
    }
    for page in 0..1_200u64 {
        b.write(8, page * PAGE, &page.to_le_bytes()).unwrap();
    }
    for page in 0..1_200u64 {
        assert_eq!(a.read(7, page * PAGE, 8).unwrap(), page.to_le_bytes(), "page {page}");
        assert_eq!(b.read(8, page * PAGE, 8).unwrap(), page.to_le_bytes(), "page {page}");
    }
}

/// Fills a file until there is no room; gives the number of its pages.
fn fill(node: &super::cluster::Node, inode: u64) -> u64 {
    let full = (0..10_000).find(|page| {
        let written = node.write(inode, page * PAGE, &page.to_le_bytes());
        assert!(matches!(written, Ok(()) | Err(PageFault::Full)), "{written:?}");
        written.is_err()
    });
    full.expect("never full")
}

/// What it fetches to read leaves again, though it is its home, and what a node that is full gives back isn't taken.
#[test]
fn a_full_home_can_read_all_that_others_hold() {
    let cluster = Cluster::new(&Setting { memory_bytes: 8 << 20, ..Setting::default() });
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    for page in 0..600u64 {
        a.write(7, page * PAGE, b"touched").unwrap();
    }
    for page in 0..600u64 {
        b.write(7, page * PAGE, &page.to_le_bytes()).unwrap();
    }
    let pages = [fill(a, 8), fill(b, 9)];
    assert!(pages.iter().all(|pages| *pages > 1_000), "{pages:?}");
    for _ in 0..2 {
        for node in [a, b] {
            for (inode, pages) in [(7, 600), (8, pages[0]), (9, pages[1])] {
                for page in 0..pages {
                    let read = node.read(inode, page * PAGE, 8);
                    assert_eq!(read.as_deref(), Ok(&page.to_le_bytes()[..]), "page {page} of {inode}");
                }
            }
        }
    }
}

#[test]
fn holes_that_were_read_leave_a_full_node() {
    let cluster = Cluster::new(&Setting { nodes: 1, memory_bytes: 4 << 20, ..Setting::default() });
    for page in 0..3_000 {
        assert_eq!(cluster.nodes[0].read(7, page * PAGE, 8).unwrap(), [0; 8], "page {page}");
    }
    cluster.nodes[0].write(7, 0, b"room").unwrap();
}

#[test]
fn a_file_that_was_cut_reads_as_zeros_everywhere_and_can_be_written_again() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.write(7, 0, &[7; 8 * PAGE_BYTES]).unwrap();
    b.write(7, 4 * PAGE, &[8; PAGE_BYTES]).unwrap();
    let now = layout(&[(0, 0), (3, 1)]);
    // One node hears of it before the other, and others' pages come meanwhile.
    a.pages.relayout(&a.file(7), &now, 3 * PAGE);
    a.write(7, 4 * PAGE, b"new").unwrap();
    b.pages.relayout(&b.file(7), &now, 3 * PAGE);
    assert_eq!(b.read(7, 4 * PAGE, 4).unwrap(), b"new\0");
    for node in [a, b] {
        assert_eq!(node.read(7, 3 * PAGE - 1, 2).unwrap(), [7, 0]);
        assert_eq!(node.read(7, 5 * PAGE, 3 * PAGE_BYTES).unwrap(), vec![0; 3 * PAGE_BYTES]);
    }
    // All of it, and again: the first segments are gone.
    for generation in 2..5 {
        for node in [b, a] {
            node.pages.relayout(&node.file(7), &layout(&[(0, generation)]), 0);
        }
        assert_eq!(b.read(7, 0, 2 * PAGE_BYTES).unwrap(), vec![0; 2 * PAGE_BYTES]);
        a.write(7, 1, &[generation as u8]).unwrap();
        assert_eq!(b.read(7, 0, 2).unwrap(), [0, generation as u8]);
    }
}

#[test]
fn the_tail_of_a_page_that_the_kernel_has_is_cut_without_taking_it_back() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let cut = |node: &super::cluster::Node| {
        let (tell, told) = std::sync::mpsc::channel();
        node.pages.cut_tail(&node.file(7), 100, move |result| tell.send(result).unwrap());
        told.recv_timeout(super::kernel::LONG).unwrap().unwrap();
    };
    a.write(7, 0, &[1; PAGE_BYTES]).unwrap();
    cut(a);
    assert_eq!(b.read(7, 98, 4).unwrap(), [1, 1, 0, 0]);
    a.open(7);
    a.increment(7, 0);
    cut(a);
    assert_eq!(a.kernel.cached(), 1, "the kernel keeps its copy");
}

#[test]
fn a_deleted_file_leaves_nothing_behind_on_any_node() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let used = |node: &super::cluster::Node| node.pages.memory().status().segments_bytes;
    for inode in 100..200 {
        a.write(inode, 0, &[1; 4 * PAGE_BYTES]).unwrap();
        b.read(inode, 0, 4 * PAGE_BYTES).unwrap();
        a.pages.forget(inode);
        // Somebody who hasn't heard of it yet asks a home that has.
        let (tell, told) = std::sync::mpsc::channel();
        let file = b.file(inode);
        b.pages.write(&file, 0, b"late".to_vec(), move |result| tell.send(result).unwrap());
        b.pages.forget(inode);
        let late = told.recv_timeout(super::kernel::LONG).expect("a late write was never answered");
        assert!(matches!(late, Ok(()) | Err(PageFault::Gone)));
    }
    let few = 64 * PAGE;
    eventually("the memory comes back", || used(a) < few && used(b) < few);
    for node in [a, b] {
        let pages: usize =
            node.pages.shards.iter().map(|s| s.lock().engine.as_ref().unwrap().pages().count()).sum();
        assert!(pages < 10, "{pages} pages are still known");
    }
}
