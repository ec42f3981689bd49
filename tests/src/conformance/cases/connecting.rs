//! Peers come up once, with the right name, and what can't be connected is told apart.

use scios::limits::HANDSHAKE_TIMEOUT_MS;
use scios::verbs::{ConnectError, FabricError};

use crate::conformance::lab::{Lab, Node};
use crate::conformance::recorder::Seen;

/// Waits for the connection attempt to fail, and tells why. Nothing else may have been seen.
pub(super) fn failure(lab: &Lab<'_>, node: &Node, address: &str) -> ConnectError {
    node.fabric.connect(address).expect("an address that can be resolved");
    let find = || {
        node.seen.with(|log| match log {
            [] => None,
            [Seen::ConnectFailed { address: told, reason }] if told == address => Some(reason.clone()),
            other => panic!("{other:?} instead of one failure to connect to {address}"),
        })
    };
    lab.wait("a failure to connect", || find().is_some());
    find().expect("just seen")
}

pub(super) fn both_sides_see_the_other_up_with_its_address(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    let up = |node: &Node| Seen::Up { peer: node.id, address: node.fabric.address() };
    assert_eq!(a.seen.log(), [up(&b)]);
    assert_eq!(b.seen.log(), [up(&a)]);
    lab.round_trip(&a, &b);
}

pub(super) fn two_that_connect_at_once_are_up_once(lab: &Lab<'_>) {
    let pairs: Vec<_> = (0..6).map(|_| (lab.node(), lab.node())).collect();
    for (a, b) in &pairs {
        a.fabric.connect(&b.fabric.address()).expect("connect");
        b.fabric.connect(&a.fabric.address()).expect("connect");
        lab.wait("both to be up", || a.ups(b.id) > 0 && b.ups(a.id) > 0);
        lab.round_trip(a, b);
    }
    lab.let_time_pass(&pairs[0].0);
    for (node, peer) in pairs.iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        let rest = node.seen.count(|seen| !matches!(seen, Seen::Up { .. } | Seen::Message { .. }));
        assert_eq!((node.ups(peer.id), rest), (1, 0), "{:?}", node.seen);
    }
}

pub(super) fn connecting_to_a_peer_that_is_up_delivers_nothing(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b)] {
        from.fabric.connect(&to.fabric.address()).expect("connect");
    }
    lab.round_trip(&a, &b);
    lab.let_time_pass(&a);
    for node in [&a, &b] {
        assert_eq!(node.seen.count(|seen| !matches!(seen, Seen::Message { .. })), 1, "{:?}", node.seen);
    }
}

pub(super) fn a_node_does_not_connect_to_itself(lab: &Lab<'_>) {
    let node = lab.node();
    let address = node.fabric.address();
    assert_eq!(failure(lab, &node, &address), ConnectError::Itself { address });
}

pub(super) fn an_address_where_nobody_listens_is_unreachable(lab: &Lab<'_>) {
    let (node, nobody) = (lab.node(), lab.nobody());
    let reason = failure(lab, &node, &nobody.address);
    assert!(matches!(&reason, ConnectError::Unreachable { .. }), "{reason:?}");
    assert!(reason.to_string().contains(&nobody.address), "{reason}");
}

pub(super) fn what_cannot_be_understood_as_an_address_is_refused_at_once(lab: &Lab<'_>) {
    let node = lab.node();
    for wrong in ["", "nonsense", "host:", "host:99999", ":80", "host:port", "a:b:c"] {
        let refused = node.fabric.connect(wrong);
        assert!(matches!(refused, Err(FabricError::Address { .. })), "{wrong:?}: {refused:?}");
    }
    let unknown = node.fabric.connect("no-such-machine.invalid:7000");
    assert!(matches!(unknown, Err(FabricError::Resolve { .. })), "{unknown:?}");
    lab.let_time_pass(&node);
    assert_eq!(node.seen.log(), []);
}

pub(super) fn what_answers_and_is_no_node_is_told_apart(lab: &Lab<'_>) {
    let (node, stranger) = (lab.node(), lab.stranger());
    let reason = failure(lab, &node, &stranger.address);
    assert!(matches!(&reason, ConnectError::NotSciFs { .. }), "{reason:?}");
}

pub(super) fn what_never_answers_is_given_up(lab: &Lab<'_>) {
    let (node, mute) = (lab.node(), lab.mute());
    let reason = failure(lab, &node, &mute.address);
    let address = mute.address.clone();
    assert_eq!(reason, ConnectError::Timeout { address, timeout_ms: HANDSHAKE_TIMEOUT_MS });
}

pub(super) fn five_nodes_that_all_connect_to_all_are_up_once_each(lab: &Lab<'_>) {
    let nodes: Vec<_> = (0..5).map(|_| lab.node()).collect();
    let pairs = || nodes.iter().flat_map(|a| nodes.iter().map(move |b| (a, b))).filter(|(a, b)| a.id != b.id);
    for (a, b) in pairs() {
        a.fabric.connect(&b.fabric.address()).expect("connect");
    }
    lab.wait("all to be up", || pairs().all(|(a, b)| a.ups(b.id) > 0));
    for (a, b) in pairs() {
        lab.send(a, b.id, &a.id.get().to_le_bytes(), &[]);
    }
    lab.wait("all messages", || pairs().all(|(a, b)| b.has_message(a.id, &a.id.get().to_le_bytes())));
    lab.let_time_pass(&nodes[0]);
    for (a, b) in pairs() {
        assert_eq!((a.ups(b.id), a.downs(b.id), a.message_count(b.id)), (1, 0, 1), "{:?}", a.seen);
    }
}

pub(super) fn a_peer_that_is_down_can_be_connected_again(lab: &Lab<'_>) {
    let (a, b) = lab.pair();
    for round in 1..=5 {
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        one.fabric.disconnect(other.id);
        lab.wait("both to be down", || a.downs(b.id) == round && b.downs(a.id) == round);
        lab.join(&a, &b);
        lab.round_trip(&a, &b);
    }
}
