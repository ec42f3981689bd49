//! How messages about locks travel: on the same ways as those about pages, so that both are lost together or not at all.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, Weak};

use scios::NodeId;
use scios::rpc::{Incoming, Responder, Service};

use super::life::ToCluster;
use crate::coherence::MemberNo;
use crate::locks::{Locks, Message, Post, Violation};
use crate::node::{Membership, Pages};

pub(super) const LOCK_KINDS: RangeInclusive<u16> = 288..=303;

/// Sends for the locks, and brings them what comes.
pub(super) struct LockPost {
    pub(super) pages: Arc<Pages>,
    pub(super) link: Arc<ToCluster>,
    /// There are none before the first view.
    pub(super) locks: OnceLock<Weak<Locks>>,
}

impl Post for LockPost {
    fn send(&self, to: MemberNo, message: &Message) {
        if !self.pages.post(to, message.epoch.0, message) {
            tracing::debug!(?to, "a message about locks is for nobody this node knows");
        }
    }

    fn distrust(&self, peer: MemberNo, why: Violation) {
        tracing::warn!(?peer, ?why, "a member broke the protocol of locks; closing its connection");
        self.link.disconnect(peer);
    }

    fn rejoin(&self) {
        self.link.rejoin("the locks have missed a view of the cluster");
    }
}

impl Service for LockPost {
    fn request(&self, _peer: NodeId, _message: Incoming<'_>, responder: Responder) {
        responder.malformed("messages about locks want no answer");
    }

    fn one_way(&self, peer: NodeId, message: Incoming<'_>) {
        let message = match message.decode::<Message>() {
            Ok(message) => message,
            Err(why) => {
                return tracing::warn!(%peer, %why, "a message about locks cannot be read");
            }
        };
        let locks = self.locks.get().and_then(Weak::upgrade);
        if let (Some(locks), Some(from)) = (locks, self.pages.heard(peer, message.epoch.0)) {
            locks.message(from, message);
        }
    }
}
