//! `disconnect` and `stop`: both sides are told, everything that was begun ends first, and nothing comes afterwards.

use std::sync::Arc;

use scios::limits::PAGE_BYTES;
use scios::verbs::{DownReason, Event, FabricError, Operation, Rights, SendError};

use crate::conformance::lab::{Lab, filled, region};
use crate::conformance::recorder::Seen;

pub(super) fn a_disconnect_is_told_to_both(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    a.fabric.disconnect(b.id);
    assert_eq!(lab.wait_down(&a, b.id), DownReason::Closed);
    assert_eq!(lab.wait_down(&b, a.id), DownReason::Closed);
    lab.let_time_pass(&a);
    assert_eq!((a.seen.with(<[Seen]>::len), b.seen.with(<[Seen]>::len)), (2, 2));
}

pub(super) fn every_operation_is_done_before_down(lab: &Lab<'_>) {
    for _ in 0..5 {
        let (a, b) = lab.pair();
        let (_, key) = b.lend(a.id, PAGE_BYTES as u64, Rights::ALL);
        for op in 0..60 {
            let page = [filled(&[7; PAGE_BYTES])];
            let into = key.slice(0, PAGE_BYTES);
            let operation = match op % 4 {
                0 => Operation::Write { from: &page, into },
                1 => Operation::Read { from: into, into: region(PAGE_BYTES as u64).whole() },
                2 => Operation::Place { head: b"page", from: &page, into },
                _ => Operation::FetchAdd { at: key.slice(0, 8), add: 1 },
            };
            a.post(b.id, op, operation).expect("room for sixty");
        }
        a.fabric.disconnect(b.id);
        lab.wait_down(&a, b.id);
        // Each of them exactly once, and before the end.
        assert!((0..60).all(|op| a.result(b.id, op).is_some()));
        assert!(a.seen.with(|log| matches!(log.last(), Some(Seen::Down { .. }))));
        lab.wait_down(&b, a.id);
    }
}

pub(super) fn nothing_is_delivered_after_stop(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let c = lab.node();
    lab.join(&a, &c);
    for _ in 0..100 {
        lab.send(&b, a.id, b"on its way", &[]);
        lab.send(&c, a.id, b"on its way", &[]);
    }
    a.fabric.stop();
    let seen = a.seen.with(<[Seen]>::len);
    let ticks = a.seen.ticks();
    assert_eq!(lab.wait_down(&b, a.id), DownReason::Closed);
    assert_eq!(lab.wait_down(&c, a.id), DownReason::Closed);
    lab.join(&b, &c);
    lab.round_trip(&b, &c);
    lab.let_time_pass(&b);
    assert_eq!((a.seen.with(<[Seen]>::len), a.seen.ticks()), (seen, ticks));
}

pub(super) fn a_stopped_fabric_refuses_everything(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    a.fabric.stop();
    let memory = region(PAGE_BYTES as u64);
    let key = scios::verbs::RemoteKey { key: 1, base: 0, bytes: 8 };
    assert_eq!(a.fabric.send(b.id, b"x", &[]), Err(SendError::NotConnected(b.id)));
    let add = Operation::FetchAdd { at: key.slice(0, 8), add: 1 };
    assert_eq!(a.post(b.id, 1, add), Err(SendError::NotConnected(b.id)));
    assert!(matches!(a.fabric.connect(&b.fabric.address()), Err(FabricError::Stopped)));
    let grant = a.fabric.grant(b.id, &memory.whole(), Rights::ALL, a.later());
    assert!(matches!(grant, Err(FabricError::Stopped | FabricError::NotConnected(_))), "{grant:?}");
    a.fabric.forget(memory.id());
    a.fabric.revoke(b.id, &key);
    a.fabric.disconnect(b.id);
    a.fabric.stop();
    lab.wait_down(&b, a.id);
}

pub(super) fn a_disconnect_of_nobody_does_nothing(lab: &Lab<'_>) {
    let (a, b) = (lab.node(), lab.node());
    a.fabric.disconnect(b.id);
    a.fabric.disconnect(a.id);
    lab.join(&a, &b);
    b.fabric.disconnect(b.id);
    lab.round_trip(&a, &b);
    assert_eq!((a.downs(b.id), b.downs(a.id)), (0, 0));
}

pub(super) fn a_handler_may_disconnect_its_peer(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let fabric = Arc::clone(&b.fabric);
    b.react(move |event| {
        if let Event::Message { peer, bytes: b"go away" } = event {
            fabric.disconnect(*peer);
        }
    });
    lab.send(&a, b.id, b"go away", &[]);
    assert_eq!(lab.wait_down(&a, b.id), DownReason::Closed);
    assert_eq!(lab.wait_down(&b, a.id), DownReason::Closed);
    // What came behind it is not told any more.
    assert_eq!(b.messages(a.id), [b"go away"]);
}

pub(super) fn the_others_do_not_notice_that_one_left(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    for _ in 0..3 {
        let c = lab.node();
        lab.join(&c, &a);
        lab.join(&c, &b);
        lab.send(&c, a.id, b"bye", &[]);
        c.fabric.stop();
        lab.wait_down(&a, c.id);
        lab.wait_down(&b, c.id);
        lab.round_trip(&a, &b);
    }
    assert_eq!((a.downs(b.id), b.downs(a.id)), (0, 0));
}
