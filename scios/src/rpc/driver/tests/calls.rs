//! How calls begin, are answered and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::nodes::{Add, Drop, Fail, FencedNews, Fetch, Nobody, Nodes, Page, Park, ParkOnce, SOON, Sum};
use crate::rpc::error::{CallError, Refusal};
use crate::{Epoch, NodeId};

#[test]
fn a_typed_call_gets_a_typed_answer() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Add(41), SOON);
    assert_eq!(nodes.ended(&end), Ok(Sum(42)));
}

#[test]
fn a_request_may_be_answered_later() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Park(0), SOON);
    nodes.until(|n| !n.b.seen.parked.lock().is_empty());
    let responder = nodes.b.seen.parked.lock().pop().unwrap();
    assert!(responder.is_wanted());
    responder.reply(&Sum(7), &[]).unwrap();
    assert_eq!(nodes.ended(&end), Ok(Sum(7)));
}

#[test]
fn a_completion_may_call_again_from_within() {
    let nodes = Nodes::new();
    let result = Arc::new(Mutex::new(None));
    let (rpc, peer, end) = (nodes.a.rpc.clone(), nodes.b.id, result.clone());
    nodes.a.rpc.call(nodes.b.id, &Add(1), &[], SOON, move |first| {
        let next = Add(first.unwrap().message.0);
        rpc.call(peer, &next, &[], SOON, move |second| {
            *end.lock() = Some(second.map(|answer| answer.message));
        });
    });
    assert_eq!(nodes.ended(&result), Ok(Sum(3)));
}

#[test]
fn a_call_to_nobody_ends_at_once() {
    let nodes = Nodes::new();
    let stranger = NodeId::new(99).unwrap();
    let end = Arc::new(Mutex::new(None));
    let seen = end.clone();
    nodes.a.rpc.call(stranger, &Add(1), &[], SOON, move |result| *seen.lock() = Some(result.map(drop)));
    assert_eq!(end.lock().take(), Some(Err(CallError::PeerLost { may_have_run: false })));
}

#[test]
fn a_call_that_is_not_answered_ends_at_its_deadline_on_both_sides() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(ParkOnce(0), SOON);
    assert_eq!(nodes.ended(&end), Err(CallError::TimedOut { may_have_run: true }));
    nodes.until(|n| n.b.seen.has("unwanted 405"));
    let responder = nodes.b.seen.parked.lock().pop().unwrap();
    assert!(!responder.is_wanted());
    assert_eq!(responder.reply(&Sum(1), &[]), Ok(()));
}

#[test]
fn a_cancelled_call_ends_at_once_and_its_service_is_told() {
    let nodes = Nodes::new();
    let (id, end) = nodes.call(ParkOnce(0), SOON);
    nodes.until(|n| n.b.seen.has("parked 405"));
    nodes.a.rpc.cancel(id);
    assert_eq!(end.lock().take(), Some(Err(CallError::Cancelled { may_have_run: true })));
    let before = nodes.net.now();
    nodes.until(|n| n.b.seen.has("unwanted 405"));
    assert!(nodes.net.now().since(before) < SOON / 2);
}

#[test]
fn refusals_and_failures_reach_the_caller() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Nobody(0), SOON);
    let why = Refusal::UnknownKind { kind: 900 };
    assert_eq!(nodes.ended(&end), Err(CallError::Refused { why, may_have_run: false }));
    let (_, end) = nodes.call(Fail(0), SOON);
    assert_eq!(nodes.ended(&end), Err(CallError::Failed("no such thing".into())));
    let (_, end) = nodes.call(Drop(0), SOON);
    assert_eq!(nodes.ended(&end), Err(CallError::AnswerLost("the handler gave no answer".into())));
}

#[test]
fn an_older_view_is_refused_and_a_newer_one_is_waited_for() {
    let nodes = Nodes::new();
    nodes.b.rpc.set_epoch(Epoch(3));
    let (_, end) = nodes.call(Fetch(1), SOON);
    assert_eq!(nodes.ended(&end), Err(CallError::StaleEpoch { theirs: Epoch(3), may_have_run: false }));
    nodes.a.rpc.one_way(nodes.b.id, &FencedNews(1), &[]).unwrap();
    nodes.until(|n| n.a.seen.has("411 refused: StaleEpoch at epoch 3"));

    nodes.a.rpc.set_epoch(Epoch(4));
    nodes.a.rpc.one_way(nodes.b.id, &FencedNews(2), &[]).unwrap();
    let (_, end) = nodes.call(Fetch(1), SOON);
    nodes.net.run_for(SOON / 2);
    assert_eq!((nodes.b.seen.take(), end.lock().take()), (vec![], None));
    nodes.b.rpc.set_epoch(Epoch(4));
    assert_eq!(nodes.ended(&end), Ok(Page(1)));
    assert_eq!(nodes.b.seen.take(), ["fenced news 2", "fetch with 0 bytes"]);
}

#[test]
fn a_waiting_call_gives_its_answer_to_its_thread() {
    let nodes = Nodes::new();
    let (rpc, peer) = (nodes.a.rpc.clone(), nodes.b.id);
    let done = Arc::new(AtomicBool::new(false));
    let finished = done.clone();
    let caller = std::thread::spawn(move || {
        let answer = rpc.call_wait(peer, &Add(41), &[], SOON);
        finished.store(true, Ordering::Release);
        answer
    });
    // Simulated time runs only as far as it is driven, so the call can't miss its deadline before it has begun.
    while !done.load(Ordering::Acquire) {
        let before = nodes.net.now();
        nodes.net.run_until(before + SOON / 500, |_| done.load(Ordering::Acquire));
        std::thread::yield_now();
    }
    assert_eq!(caller.join().unwrap(), Ok(Sum(42)));
}

#[test]
fn a_node_that_stops_ends_its_calls() {
    let nodes = Nodes::new();
    let (_, end) = nodes.call(Park(0), SOON);
    nodes.a.rpc.stop();
    assert_eq!(end.lock().take(), Some(Err(CallError::Stopped { may_have_run: true })));
    let (_, end) = nodes.call(Park(0), SOON);
    assert_eq!(end.lock().take(), Some(Err(CallError::PeerLost { may_have_run: false })));
}
