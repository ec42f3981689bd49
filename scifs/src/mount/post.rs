//! How messages of parts that speak with other members (locks, waiting) travel: on the same ways as those about pages, so that
//! both are lost together or not at all.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use scios::NodeId;
use scios::rpc::codec::Message as Wire;
use scios::rpc::{Incoming, Responder, Service};

use super::life::ToCluster;
use crate::coherence::MemberNo;
use crate::locks::{self, Locks};
use crate::members::Post;
use crate::node::{Membership, Pages};
use crate::sync::{self, Waits};

pub(super) const LOCK_KINDS: RangeInclusive<u16> = 288..=303;
pub(super) const SYNC_KINDS: RangeInclusive<u16> = 304..=319;

/// One that sends and gets messages.
pub(super) trait Part: Send + Sync + 'static {
    type Message: Wire + Send;
    /// In sentences of the log.
    const NAME: &'static str;
    fn epoch(message: &Self::Message) -> u64;
    fn receive(&self, from: MemberNo, message: Self::Message);
}

/// Sends for a part, and brings it what comes.
pub(super) struct Mail<P: Part> {
    pages: Arc<Pages>,
    link: Arc<ToCluster>,
    /// There is none before the first view.
    part: OnceLock<Weak<P>>,
    /// What came before the part was there, or from nodes that this one doesn't know as members yet.
    strangers: Mutex<Vec<(NodeId, P::Message)>>,
}

/// Further messages of nodes that may become members are dropped.
const STRANGERS_MAX: usize = 65_536;

impl<P: Part> Mail<P> {
    pub(super) fn new(pages: &Arc<Pages>, link: &Arc<ToCluster>) -> Arc<Self> {
        Arc::new(Self {
            pages: Arc::clone(pages),
            link: Arc::clone(link),
            part: OnceLock::new(),
            strangers: Mutex::default(),
        })
    }

    /// The part is there. Its first view, as all later ones, is followed by [`Self::hear_strangers`].
    pub(super) fn set(&self, part: &Arc<P>) {
        self.part.get_or_init(|| Arc::downgrade(part));
    }

    /// Hears what nodes said before this one knew them as members. Who still isn't one stays in line.
    pub(super) fn hear_strangers(&self) {
        let Some(part) = self.part.get().and_then(Weak::upgrade) else { return };
        // Held all the time, so that nobody overtakes.
        let mut strangers = self.strangers.lock();
        for (node, message) in std::mem::take(&mut *strangers) {
            if self.pages.knows(node) {
                self.bring(&part, node, message);
            } else if P::epoch(&message) >= self.pages.epoch() {
                strangers.push((node, message));
            }
        }
    }

    fn bring(&self, part: &P, node: NodeId, message: P::Message) {
        if let Some(from) = self.pages.heard(node, P::epoch(&message)) {
            part.receive(from, message);
        }
    }

    fn keep(&self, node: NodeId, message: P::Message) {
        let mut strangers = self.strangers.lock();
        if strangers.len() < STRANGERS_MAX {
            strangers.push((node, message));
        } else {
            tracing::warn!(%node, about = P::NAME, "too many messages of nodes that are no members; one was dropped");
        }
    }
}

impl<P: Part> Post<P::Message> for Mail<P> {
    fn send(&self, to: MemberNo, message: &P::Message) {
        if !self.pages.post(to, P::epoch(message), message) {
            tracing::debug!(?to, about = P::NAME, "a message is for nobody this node knows");
        }
    }

    fn distrust(&self, peer: MemberNo, why: &dyn Display) {
        tracing::warn!(?peer, %why, about = P::NAME, "a member broke the protocol; closing its connection");
        self.link.disconnect(peer);
    }

    fn rejoin(&self) {
        self.link.rejoin(&format!("{} missed a view of the cluster", P::NAME));
    }
}

impl<P: Part> Service for Mail<P> {
    fn request(&self, _peer: NodeId, _message: Incoming<'_>, responder: Responder) {
        responder.malformed("these messages want no answer");
    }

    fn one_way(&self, peer: NodeId, message: Incoming<'_>) {
        let message = match message.decode::<P::Message>() {
            Ok(message) => message,
            Err(why) => {
                return tracing::warn!(%peer, %why, about = P::NAME, "a message cannot be read");
            }
        };
        match self.part.get() {
            Some(part) if self.pages.knows(peer) && self.strangers.lock().is_empty() => {
                if let Some(part) = part.upgrade() {
                    self.bring(&part, peer, message);
                }
            }
            _ => {
                self.keep(peer, message);
                // It may just have become known.
                self.hear_strangers();
            }
        }
    }
}

impl Part for Locks {
    type Message = locks::Message;
    const NAME: &'static str = "locks";
    fn epoch(message: &Self::Message) -> u64 {
        message.epoch.0
    }
    fn receive(&self, from: MemberNo, message: Self::Message) {
        self.message(from, message);
    }
}

impl Part for Waits {
    type Message = sync::Message;
    const NAME: &'static str = "waiting";
    fn epoch(message: &Self::Message) -> u64 {
        message.epoch.0
    }
    fn receive(&self, from: MemberNo, message: Self::Message) {
        self.message(from, message);
    }
}
