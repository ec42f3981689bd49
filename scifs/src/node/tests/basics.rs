use scios::limits::PAGE_BYTES;

use super::cluster::{Cluster, Setting};

const PAGE: u64 = PAGE_BYTES as u64;

#[test]
fn what_one_node_writes_another_reads_also_across_pages_and_extents() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    let data: Vec<u8> = (0..5 * PAGE_BYTES as u32 / 4).flat_map(u32::to_le_bytes).collect();
    for offset in [0, 100, 511 * PAGE - 7, (1 << 40) - 3] {
        a.write(7, offset, &data).unwrap();
        assert_eq!(b.read(7, offset, data.len()).unwrap(), data, "at {offset}");
        b.write(7, offset + 1, b"from b").unwrap();
        assert_eq!(&a.read(7, offset, 8).unwrap()[..], [&data[..1], b"from b", &data[7..8]].concat());
    }
    assert_eq!(b.read(7, 1 << 30, 10_000).unwrap(), vec![0; 10_000], "what nobody wrote reads as zeros");
    assert_eq!(a.read(8, 0, 1).unwrap(), [0]);
}

#[test]
fn mapped_stores_are_seen_by_reads_and_loads_elsewhere_and_the_other_way_round() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(7);
    b.open(7);
    for round in 0..20 {
        assert_eq!(a.increment(7, 3), 4 * round);
        assert_eq!(b.load(7, 3), 4 * round + 1);
        assert_eq!(b.increment(7, 3), 4 * round + 1);
        assert_eq!(a.read(7, 3 * PAGE, 8).unwrap(), (4 * round + 2).to_le_bytes());
        b.write(7, 3 * PAGE, &(4 * round + 3).to_le_bytes()).unwrap();
        assert_eq!(a.load(7, 3), 4 * round + 3);
        assert_eq!(a.increment(7, 3), 4 * round + 3);
        assert_eq!(a.read(7, 3 * PAGE, 8).unwrap(), (4 * round + 4).to_le_bytes(), "on the same node");
    }
}

#[test]
fn a_file_that_becomes_writable_keeps_no_page_that_was_mapped_for_reading() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.write(7, 0, &5u64.to_le_bytes()).unwrap();
    assert_eq!((a.load(7, 0), b.load(7, 0)), (5, 5), "shared by readers");
    a.open(7);
    assert_eq!(a.increment(7, 0), 5);
    assert_eq!(b.load(7, 0), 6, "the store wasn't hidden in a page that the engine thought was only read");
}

#[test]
fn a_page_that_the_kernel_dropped_by_itself_is_given_again() {
    let cluster = Cluster::new(&Setting::default());
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(7);
    assert_eq!(a.increment(7, 0), 0);
    a.kernel.shrink(7, 0);
    assert_eq!((a.load(7, 0), a.increment(7, 0)), (1, 1));
    a.kernel.shrink(7, 0);
    assert_eq!(b.load(7, 0), 2);
    assert!(a.kernel.cached() <= 1);
}

#[test]
fn one_worker_is_enough() {
    let cluster = Cluster::new(&Setting { workers: 1, ..Setting::default() });
    let (a, b) = (&cluster.nodes[0], &cluster.nodes[1]);
    a.open(7);
    for round in 0..10 {
        assert_eq!(a.increment(7, 0), 2 * round);
        // Takes the dirty page from the kernel of the node itself.
        assert_eq!(a.read(7, 0, 8).unwrap(), (2 * round + 1).to_le_bytes());
        b.write(7, 0, &(2 * round + 2).to_le_bytes()).unwrap();
    }
}

#[test]
fn data_and_holes_are_found_wherever_their_homes_are() {
    let cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    let [a, b, c] = &cluster.nodes[..] else { panic!("three nodes") };
    a.write(7, 3 * PAGE, b"a").unwrap();
    b.write(7, 4 * PAGE, b"b").unwrap();
    b.write(7, 600 * PAGE, b"another extent").unwrap();
    c.write(7, 5_000 * PAGE, b"c").unwrap();
    for node in [a, b, c] {
        let file = node.file(7);
        // The sum of the connections is only made when somebody needs it.
        let data = |page| node.pages.next_data(&file, page, 10_000).unwrap();
        let hole = |page| node.pages.next_hole(&file, page, 10_000).unwrap();
        assert_eq!(
            [data(0), data(4), data(5), data(601), data(5_001)],
            [Some(3), Some(4), Some(600), Some(5_000), None]
        );
        assert_eq!([hole(0), hole(3), hole(4), hole(600), hole(5_000)], [0, 5, 5, 601, 5_001]);
        assert_eq!(node.pages.next_hole(&file, 5_000, 5_000).unwrap(), 5_001);
    }
    for node in [a, b, c] {
        let stats: Vec<_> =
            node.pages.stat(&node.file(7)).into_iter().map(|(_, stat)| stat.unwrap()).collect();
        let homes: u64 = stats.iter().map(|stat| stat.pages_home).sum();
        let exclusive: u64 = stats.iter().map(|stat| stat.pages_exclusive).sum();
        assert_eq!((stats.len(), homes, exclusive), (3, 4, 4), "{stats:?}");
    }
}
