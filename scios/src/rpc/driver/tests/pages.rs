//! Messages with pages behind them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::nodes::{Fetch, Nodes, SOON, slice};
use crate::limits::{GATHER_SLICES_MAX, PAGE_BYTES};

/// A fetch whose request carries `there` and whose answer carries what `back` is; the bytes that came back.
fn fetch(there: usize, back: usize) -> Vec<u8> {
    let nodes = Nodes::new();
    *nodes.b.seen.page.lock() = Some(slice(back));
    let got = Arc::new(Mutex::new(None));
    let end = got.clone();
    nodes.a.rpc.call(nodes.b.id, &Fetch(9), &[slice(there)], SOON, move |answer| {
        let answer = answer.unwrap();
        assert_eq!(answer.message.0, 9);
        *end.lock() = Some(answer.body.to_vec());
    });
    nodes.until(|_| got.lock().is_some());
    assert_eq!(nodes.b.seen.take(), [format!("fetch with {there} bytes")]);
    got.lock().take().unwrap()
}

#[test]
fn a_page_travels_behind_its_message_in_both_directions() {
    assert_eq!(fetch(PAGE_BYTES, PAGE_BYTES), slice(PAGE_BYTES).to_vec());
}

#[test]
fn more_than_a_frame_arrives_whole_in_both_directions() {
    let (there, back) = (300_000, 1_000_000);
    assert!(fetch(there, back) == slice(back).to_vec());
}

#[test]
fn more_slices_than_the_fabric_gathers_arrive_too() {
    let nodes = Nodes::new();
    let pages: Vec<_> = (0..GATHER_SLICES_MAX + 1).map(|_| slice(16)).collect();
    nodes.a.rpc.call(nodes.b.id, &Fetch(9), &pages, SOON, |_| {});
    let line = format!("fetch with {} bytes", 16 * pages.len());
    nodes.until(|n| n.b.seen.has(&line));
}
