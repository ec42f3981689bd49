//! Where a node can't or may not listen, it says so.

use scios::verbs::FabricError;

use crate::conformance::lab::Lab;

/// Why there is no node with this `listen`.
fn refusal(lab: &Lab<'_>, listen: &str, with_secret: bool) -> FabricError {
    let mut config = lab.config();
    config.listen = listen.into();
    config.secret = with_secret.then(|| scios::auth::Secret::from_bytes(b"long enough to be one"));
    match lab.fabric(config) {
        Ok(_) => panic!("a node listens on {listen}"),
        Err(refusal) => refusal,
    }
}

pub(super) fn an_address_in_use_is_refused(lab: &Lab<'_>) {
    let taken = lab.node().fabric.address();
    let refused = refusal(lab, &taken, false);
    assert!(matches!(&refused, FabricError::Listen { address, .. } if *address == taken), "{refused:?}");
}

pub(super) fn a_node_without_a_secret_stays_on_loopback(lab: &Lab<'_>) {
    for wide in ["0.0.0.0:0", "[::]:0"] {
        let refused = refusal(lab, wide, false);
        assert!(matches!(refused, FabricError::SecretNeeded { .. }), "{wide}: {refused:?}");
    }
}

pub(super) fn what_cannot_be_listened_on_is_refused(lab: &Lab<'_>) {
    for wrong in ["", "nonsense", "host:", "127.0.0.1:99999"] {
        let refused = refusal(lab, wrong, true);
        assert!(matches!(refused, FabricError::Address { .. }), "{wrong:?}: {refused:?}");
    }
    // An address for documentation, which no machine has.
    let refused = refusal(lab, "192.0.2.1:0", true);
    assert!(matches!(refused, FabricError::Listen { .. }), "{refused:?}");
}
