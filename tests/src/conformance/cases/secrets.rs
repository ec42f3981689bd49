//! Who doesn't know the secret, or speaks another version, is refused with the reason.

use std::sync::Arc;

use scios::auth::Secret;
use scios::verbs::{ConnectError, PROTOCOL_VERSION};

use super::connecting::failure;
use crate::conformance::lab::{Lab, Node};

fn node_with(lab: &Lab<'_>, secret: Option<&[u8]>) -> Arc<Node> {
    let mut config = lab.config();
    config.secret = secret.map(Secret::from_bytes);
    lab.node_with(config)
}

const OURS: Option<&[u8]> = Some(b"a secret of sufficient length");
const THEIRS: Option<&[u8]> = Some(b"another one of the same sort!");

/// What the first is told when it connects to the second, which is to see nothing.
fn refusal(lab: &Lab<'_>, dialer: Option<&[u8]>, listener: Option<&[u8]>) -> (ConnectError, String) {
    let (a, b) = (node_with(lab, dialer), node_with(lab, listener));
    let reason = failure(lab, &a, &b.fabric.address());
    lab.let_time_pass(&b);
    assert_eq!(b.seen.log(), []);
    (reason, b.fabric.address())
}

pub(super) fn nodes_with_the_same_secret_are_up(lab: &Lab<'_>) {
    let (a, b) = (node_with(lab, OURS), node_with(lab, OURS));
    lab.join(&a, &b);
    lab.round_trip(&a, &b);
}

pub(super) fn another_secret_is_refused(lab: &Lab<'_>) {
    let (reason, address) = refusal(lab, OURS, THEIRS);
    assert_eq!(reason, ConnectError::WrongSecret { address });
}

pub(super) fn a_node_without_the_secret_is_told_to_get_it(lab: &Lab<'_>) {
    let (reason, address) = refusal(lab, None, THEIRS);
    assert_eq!(reason, ConnectError::SecretRequired { address });
}

pub(super) fn a_node_with_a_secret_does_not_talk_to_one_without(lab: &Lab<'_>) {
    let (reason, address) = refusal(lab, OURS, None);
    assert_eq!(reason, ConnectError::SecretUnexpected { address });
}

pub(super) fn another_version_is_refused_and_both_are_named(lab: &Lab<'_>) {
    let mut newer = lab.config();
    newer.version = PROTOCOL_VERSION + 1;
    let (a, b) = (lab.node(), lab.node_with(newer));
    let reason = failure(lab, &a, &b.fabric.address());
    let (ours, theirs, address) = (PROTOCOL_VERSION, PROTOCOL_VERSION + 1, b.fabric.address());
    assert_eq!(reason, ConnectError::Version { address, ours, theirs });
    let reason = failure(lab, &b, &a.fabric.address());
    let address = a.fabric.address();
    assert_eq!(reason, ConnectError::Version { address, ours: theirs, theirs: ours });
}

pub(super) fn a_refused_node_harms_nobody(lab: &Lab<'_>) {
    let (a, b) = (node_with(lab, OURS), node_with(lab, OURS));
    lab.join(&a, &b);
    let stranger = node_with(lab, THEIRS);
    failure(lab, &stranger, &a.fabric.address());
    lab.round_trip(&a, &b);
    assert_eq!((a.ups(stranger.id), a.downs(b.id), b.downs(a.id)), (0, 0, 0));
}
