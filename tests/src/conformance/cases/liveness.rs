//! A peer that is silent, for whatever reason, is down in bounded time, and everything that waited for it has ended.

use std::sync::Arc;
use std::time::Duration;

use scios::NodeId;
use scios::verbs::{DownReason, Operation, RemoteKey, SendError};

use crate::conformance::lab::{Lab, Node, filled, region};
use crate::conformance::peer::{ECHO, LEND, decode};
use crate::conformance::world::Process;

const TIMEOUT_MS: u64 = 1_000;

/// A node and one in a process of its own, connected.
fn with_process(lab: &Lab<'_>) -> (Arc<Node>, NodeId, Box<dyn Process>) {
    let quick = || {
        let mut config = lab.config();
        config.liveness_timeout_ms = TIMEOUT_MS;
        config
    };
    let node = lab.node_with(quick());
    let config = quick();
    let peer = config.id;
    let process = lab.process(config);
    connect(lab, &node, peer, &*process);
    (node, peer, process)
}

fn connect(lab: &Lab<'_>, node: &Node, peer: NodeId, process: &dyn Process) {
    let ups = node.ups(peer);
    node.fabric.connect(&process.address()).expect("connect");
    lab.wait("the process to be up", || node.ups(peer) > ups);
}

fn echo(lab: &Lab<'_>, node: &Node, peer: NodeId, what: &str) {
    let message = [ECHO, what.as_bytes()].concat();
    lab.send(node, peer, &message, &[]);
    lab.wait("an echo", || node.has_message(peer, &message));
}

fn borrow_page(lab: &Lab<'_>, node: &Node, peer: NodeId) -> RemoteKey {
    lab.send(node, peer, LEND, &[]);
    let key = || node.messages(peer).last().and_then(|message| decode(message));
    lab.wait("a key", || key().is_some());
    key().expect("just seen")
}

/// Begins a bit of everything, to see that all of it ends. A fabric that has noticed already refuses.
fn begin_everything(node: &Node, peer: NodeId, key: &RemoteKey) {
    let page = [filled(&[1; 64])];
    let operations = [
        Operation::Read { from: key.slice(0, 64), into: region(64).whole() },
        Operation::Write { from: &page, into: key.slice(0, 64) },
        Operation::WriteImm { from: &page, into: key.slice(0, 64), imm: 1 },
        Operation::Place { head: b"placed", from: &page, into: key.slice(0, 64) },
        Operation::FetchAdd { at: key.slice(0, 8), add: 1 },
        Operation::CompareAndSwap { at: key.slice(0, 8), expected: 0, new: 1 },
    ];
    for (op, operation) in (100..).zip(operations) {
        let begun = node.post(peer, op, operation);
        assert!(matches!(begun, Ok(()) | Err(SendError::NotConnected(_))), "{begun:?}");
    }
    let sent = node.fabric.send(peer, b"into the void", &[]);
    assert!(matches!(sent, Ok(()) | Err(SendError::NotConnected(_))), "{sent:?}");
}

pub(super) fn an_idle_peer_stays_up(lab: &Lab<'_>) {
    let (node, peer, _process) = with_process(lab);
    let end = node.fabric.now() + Duration::from_millis(3 * TIMEOUT_MS);
    lab.wait("three timeouts to pass", || node.fabric.now() >= end);
    echo(lab, &node, peer, "still there");
    assert_eq!((node.ups(peer), node.downs(peer)), (1, 0));
}

pub(super) fn a_frozen_peer_is_down_in_bounded_time(lab: &Lab<'_>) {
    let (node, peer, process) = with_process(lab);
    let key = borrow_page(lab, &node, peer);
    process.freeze();
    let frozen_at = node.fabric.now();
    begin_everything(&node, peer, &key);
    let reason = lab.wait_down(&node, peer);
    assert_eq!(reason, DownReason::Silent { timeout_ms: TIMEOUT_MS });
    let waited_ms = node.fabric.now().since(frozen_at).as_millis() as u64;
    // The upper bound leaves room for a slow machine, not for a network that gives up on its own.
    assert!((TIMEOUT_MS / 2..10 * TIMEOUT_MS).contains(&waited_ms), "after {waited_ms} ms");
}

pub(super) fn a_killed_peer_is_down_in_bounded_time(lab: &Lab<'_>) {
    let (node, peer, process) = with_process(lab);
    let key = borrow_page(lab, &node, peer);
    process.kill();
    let killed_at = node.fabric.now();
    begin_everything(&node, peer, &key);
    let reason = lab.wait_down(&node, peer);
    assert!(matches!(reason, DownReason::Silent { .. } | DownReason::Lost(_)), "{reason:?}");
    let waited_ms = node.fabric.now().since(killed_at).as_millis() as u64;
    assert!(waited_ms < 10 * TIMEOUT_MS, "after {waited_ms} ms");
    let other = lab.node();
    lab.join(&node, &other);
    lab.round_trip(&node, &other);
}

pub(super) fn a_peer_that_was_frozen_for_too_long_can_come_back(lab: &Lab<'_>) {
    let (node, peer, process) = with_process(lab);
    process.freeze();
    lab.wait_down(&node, peer);
    process.thaw();
    connect(lab, &node, peer, &*process);
    echo(lab, &node, peer, "back again");
    assert_eq!((node.ups(peer), node.downs(peer)), (2, 1));
}

pub(super) fn a_short_freeze_is_forgiven(lab: &Lab<'_>) {
    let (node, peer, process) = with_process(lab);
    process.freeze();
    let until = node.fabric.now() + Duration::from_millis(TIMEOUT_MS / 5);
    lab.wait("a fifth of the timeout", || node.fabric.now() >= until);
    process.thaw();
    echo(lab, &node, peer, "what was sent meanwhile");
    assert_eq!(node.downs(peer), 0);
}
