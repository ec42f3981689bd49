//! Many threads on several nodes on few pages.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use scios::limits::PAGE_BYTES;

use super::super::{Layout, Piece};
use super::cluster::{Cluster, Node, Setting, eventually};
use super::oracle::Growing;

/// A small generator, so that a failing run's mix can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

const PAGES: u32 = 4;
const INODE: u64 = 9;

/// Each page begins with a number that mapped stores increment; each thread has a number of its own behind it, which it writes by
/// request. Everybody looks at all of them, by request and by load.
struct Table {
    stored: Vec<Growing>,
    written: Vec<Vec<Growing>>,
}

impl Table {
    fn new(threads: usize) -> Self {
        let numbers = |count: usize| (0..count).map(|_| Growing::default()).collect::<Vec<_>>();
        Self { stored: numbers(PAGES as usize), written: (0..PAGES).map(|_| numbers(threads)).collect() }
    }

    fn step(&self, node: &Node, thread: usize, random: &mut Random) {
        let page = random.below(u64::from(PAGES)) as u32;
        let at = u64::from(page) * PAGE_BYTES as u64;
        let other = random.below(self.written[0].len() as u64) as usize;
        let (stored, written) = (&self.stored[page as usize], &self.written[page as usize]);
        let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap());
        match random.below(6) {
            0 => stored.grow(|| {
                node.increment(INODE, page);
            }),
            1 => {
                stored.look("load", || node.load(INODE, page));
            }
            2 => {
                stored.look("read", || number(node.read(INODE, at, 8).unwrap()));
            }
            3 => {
                let next = written[thread].total() + 1;
                let offset = at + 8 * (thread as u64 + 1);
                written[thread].grow(|| node.write(INODE, offset, &next.to_le_bytes()).unwrap());
            }
            4 => {
                let offset = at + 8 * (other as u64 + 1);
                written[other]
                    .look("read of a written number", || number(node.read(INODE, offset, 8).unwrap()));
            }
            _ => node.kernel.shrink(INODE, page),
        }
    }

    fn check(&self, cluster: &Cluster) {
        for node in &cluster.nodes {
            for page in 0..PAGES {
                let stored = &self.stored[page as usize];
                assert_eq!(node.load(INODE, page), stored.total(), "page {page} at the end");
            }
        }
    }
}

fn hammer(cluster: &Cluster, threads: usize, during: Duration, seed: u64) -> Table {
    hammer_and(cluster, threads, during, seed, || false)
}

/// Does `meanwhile` as well, until it says that it is enough.
fn hammer_and(
    cluster: &Cluster,
    threads: usize,
    during: Duration,
    seed: u64,
    mut meanwhile: impl FnMut() -> bool + Send,
) -> Table {
    let table = Table::new(threads * cluster.nodes.len());
    let deadline = Instant::now() + during;
    std::thread::scope(|scope| {
        scope.spawn(move || while Instant::now() < deadline && meanwhile() {});
        for (n, node) in cluster.nodes.iter().enumerate() {
            for t in 0..threads {
                let (table, thread) = (&table, n * threads + t);
                scope.spawn(move || {
                    let mut random = Random(seed * 1_000 + thread as u64 + 1);
                    // The wall clock only says how many steps, never what is right.
                    while Instant::now() < deadline {
                        table.step(node, thread, &mut random);
                    }
                });
            }
        }
    });
    table
}

#[test]
fn nobody_ever_sees_anything_that_is_out_of_date_on_two_nodes() {
    let cluster = Cluster::new(&Setting::default());
    cluster.nodes.iter().for_each(|node| node.open(INODE));
    hammer(&cluster, 3, Duration::from_secs(2), 1).check(&cluster);
}

#[test]
fn nobody_ever_sees_anything_that_is_out_of_date_on_four_nodes_with_one_worker_each() {
    let setting = Setting { nodes: 4, workers: 1, ..Setting::default() };
    let cluster = Cluster::new(&setting);
    cluster.nodes.iter().for_each(|node| node.open(INODE));
    hammer(&cluster, 2, Duration::from_secs(2), 2).check(&cluster);
}

#[test]
fn two_writers_of_one_page_both_make_progress() {
    let cluster = Cluster::new(&Setting::default());
    cluster.nodes.iter().for_each(|node| node.open(INODE));
    let deadline = Instant::now() + Duration::from_secs(1);
    let counts: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| {
                scope.spawn(move || {
                    let mut count = 0u64;
                    while Instant::now() < deadline {
                        node.increment(INODE, 0);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total: u64 = counts.iter().sum();
    assert_eq!(cluster.nodes[0].load(INODE, 0), total);
    assert!(counts.iter().all(|count| *count * 10 > total), "one of them starved: {counts:?}");
}

#[test]
fn nobody_ever_sees_anything_that_is_out_of_date_while_connections_break() {
    let cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    cluster.nodes.iter().for_each(|node| node.open(INODE));
    let (a, b, before) = (&cluster.nodes[0], &cluster.nodes[1], cluster.departures());
    let breaks = || {
        let epoch = cluster.departures();
        a.rpc.fabric().disconnect(b.id);
        eventually("the break is over", || {
            cluster.departures() > epoch && cluster.nodes.iter().all(|node| node.pages.epoch() > epoch)
        });
        true
    };
    hammer_and(&cluster, 2, Duration::from_secs(3), 3, breaks).check(&cluster);
    assert!(cluster.departures() > before, "nothing broke");
}

/// More pages than the node that reads them has frames.
const FILLING: u64 = 1_500;

#[test]
fn nobody_ever_sees_anything_that_is_out_of_date_while_memory_is_short() {
    let mut cluster = Cluster::new(&Setting::default());
    cluster.add(&Setting { memory_bytes: 4 << 20, ..Setting::default() });
    cluster.nodes.iter().for_each(|node| node.open(INODE));
    // The third node is full of what is at home with the first, so it has to give up pages all the time.
    let (a, c) = (&cluster.nodes[0], &cluster.nodes[2]);
    for page in 0..FILLING {
        a.write(8, page * PAGE_BYTES as u64, &[1]).unwrap();
    }
    let mut page = 0;
    let fill = || {
        page = (page + 1) % FILLING;
        c.read(8, page * PAGE_BYTES as u64, 1) == Ok(vec![1])
    };
    hammer_and(&cluster, 2, Duration::from_secs(3), 4, fill).check(&cluster);
    assert!(c.pages.memory().status().evictions_total > 0, "memory was never short");
}

#[test]
fn who_reads_and_writes_a_file_that_is_cut_again_and_again_never_sees_what_was_cut() {
    let cluster = Cluster::new(&Setting { nodes: 3, ..Setting::default() });
    // By page, which cut was the last that everybody was told of. Writers write it, but not while others cut.
    let last_cut: [AtomicU64; 3] = Default::default();
    let (gate, stop) = (RwLock::new(()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for (n, node) in cluster.nodes.iter().enumerate() {
            let (last_cut, gate, stop) = (&last_cut, &gate, &stop);
            scope.spawn(move || {
                let mut random = Random(n as u64 + 77);
                while !stop.load(Ordering::SeqCst) {
                    let page = random.below(3);
                    let (at, cut) = (page * PAGE_BYTES as u64, &last_cut[page as usize]);
                    let least = cut.load(Ordering::SeqCst);
                    let seen = u64::from_le_bytes(node.read(INODE, at, 8).unwrap().try_into().unwrap());
                    assert!(seen == 0 || seen >= least, "page {page}: saw {seen} after cut {least}");
                    let _no_cut = gate.read();
                    node.write(INODE, at, &cut.load(Ordering::SeqCst).to_le_bytes()).unwrap();
                }
            });
        }
        let mut first = Piece { first_page: 0, generation: 0 };
        for generation in 1..150 {
            let from = generation % 3;
            let piece = Piece { first_page: from, generation };
            first = if from == 0 { piece } else { first };
            let layout = Layout::new(if from == 0 { vec![piece] } else { vec![first, piece] });
            // What lay between was cut before, and is not given back to an older segment.
            let layout = if from == 2 {
                Layout::new(vec![first, Piece { first_page: 1, generation }])
            } else {
                layout
            };
            let _alone = gate.write();
            for node in &cluster.nodes {
                node.pages.relayout(&node.file(INODE), &layout, 0);
            }
            let cut = last_cut.iter().skip(from.min(1) as usize);
            cut.for_each(|cut| cut.store(u64::from(generation), Ordering::SeqCst));
        }
        stop.store(true, Ordering::SeqCst);
    });
}
