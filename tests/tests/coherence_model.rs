//! The coherence engine, explored completely in small clusters.

use scifs_tests::model::explore::explore;
use scifs_tests::model::scopes::{deadly, peaceful};

#[test]
fn tiny() {
    for (n, p, o) in [(2, 1, 1), (2, 1, 2), (3, 1, 1), (3, 1, 2), (3, 2, 1), (3,2,2)] {
        match explore(&peaceful(n, p, o), 40_000_000) {
            Ok(e) => println!("{n}x{p}x{o}: {e:?}"),
            Err(f) => panic!("{n}x{p}x{o}: {f}"),
        }
    }
}

#[test]
fn tiny_deadly() {
    for (n, p, o) in [(2, 1, 1), (3, 1, 1), (3,2,1)] {
        match explore(&deadly(n, p, o), 40_000_000) {
            Ok(e) => println!("deadly {n}x{p}x{o}: {e:?}"),
            Err(f) => panic!("deadly {n}x{p}x{o}: {f}"),
        }
    }
}
