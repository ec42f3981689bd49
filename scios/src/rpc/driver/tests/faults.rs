//! Lost connections, peers that never come back, bytes that make no sense, queues that are full.

use super::nodes::{Add, News, Nodes, Park, ParkOnce, SOON, Sum, slice};
use crate::metrics::Value;
use crate::rpc::error::CallError;

#[test]
fn an_idempotent_call_survives_a_lost_connection() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Park(0), SOON * 10);
    nodes.until(|n| n.b.seen.has("parked 404"));
    nodes.b.fabric.disconnect(nodes.a.id);
    nodes.until(|n| n.a.seen.has("down 2: closed") && n.b.seen.has("down 1: closed"));
    assert!(end.lock().is_none());
    nodes.connect();
    nodes.net.run_for(SOON);
    // The first request is still being served, so the second copy of it is not run.
    let mut parked = std::mem::take(&mut *nodes.b.seen.parked.lock());
    assert_eq!(parked.len(), 1);
    parked.pop().unwrap().reply(&Sum(7), &[]).unwrap();
    assert_eq!(nodes.ended(&end), Ok(Sum(7)));
}

#[test]
fn a_call_that_is_not_idempotent_ends_with_its_connection() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(ParkOnce(0), SOON * 10);
    nodes.until(|n| n.b.seen.has("parked 405"));
    nodes.b.fabric.disconnect(nodes.a.id);
    assert_eq!(nodes.ended(&end), Err(CallError::PeerLost { may_have_run: true }));
}

#[test]
fn a_forgotten_peer_ends_what_waits_for_it() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Park(0), SOON * 100);
    nodes.until(|n| n.b.seen.has("parked 404"));
    nodes.net.crash(nodes.b.id);
    nodes.until(|n| !n.a.seen.take().is_empty());
    assert!(end.lock().is_none());
    nodes.a.rpc.forget(nodes.b.id);
    assert_eq!(end.lock().take(), Some(Err(CallError::PeerLost { may_have_run: true })));
}

#[test]
fn bytes_that_are_no_frame_cost_the_peer_its_connection_and_nothing_else() {
    let nodes = Nodes::new();
    nodes.a.fabric.send(nodes.b.id, b"hello, is this a frame?", &[]).unwrap();
    nodes.until(|n| n.b.seen.has("down 1: closed") && n.a.seen.has("down 2: closed"));
    nodes.connect();
    let (_, end) = nodes.call(Add(1), SOON);
    assert_eq!(nodes.ended(&end), Ok(Sum(2)));
}

#[test]
fn a_burst_that_fills_the_fabric_arrives_whole_and_in_order() {
    let nodes = Nodes::new();
    let body = [slice(60_000)];
    let mut sent = 0;
    loop {
        match nodes.a.rpc.one_way(nodes.b.id, &News(sent), &body) {
            Ok(()) => sent += 1,
            Err(CallError::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    // What the fabric's queue takes and what the session's does.
    assert!(sent > 100, "{sent}");
    let all: Vec<_> = (0..sent).map(|number| format!("news {number} with 60000 bytes")).collect();
    nodes.until(|n| n.b.seen.lines.lock().len() == all.len());
    assert_eq!(nodes.b.seen.take(), all);
    nodes.a.rpc.one_way(nodes.b.id, &News(sent), &[]).unwrap();
}

#[test]
fn how_calls_end_is_counted() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Add(1), SOON);
    nodes.ended(&end).unwrap();
    let (_, end) = nodes.call(ParkOnce(0), SOON);
    nodes.ended(&end).unwrap_err();
    let snapshot = nodes.registry.snapshot();
    let failed = |why| snapshot.value("scifs_rpc_calls_failed_total", &[("why", why)]);
    assert_eq!(failed("timed_out"), Some(&Value::Counter(1)));
    assert_eq!(failed("peer_lost"), Some(&Value::Counter(0)));
    let Some(Value::Histogram(calls)) = snapshot.value("scifs_rpc_call_ns", &[]) else { panic!() };
    assert_eq!(calls.count, 1);
}
