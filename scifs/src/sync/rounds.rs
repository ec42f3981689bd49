//! Decisions that reach everybody whom they concern, or count as not made: somebody who lives remembers each until all have heard.
//! A notification is remembered by the node that notified, an opened barrier by every node that let a program out.

use std::collections::BTreeSet;

use super::engine::{SyncEngine, Turn};
use super::ids::{Key, Round, Token, WaiterId};
use super::limits::LIST_ITEMS_MAX;
use super::message::{Body, How};
use crate::coherence::MemberNo;

/// A barrier that opened here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Opened {
    pub(super) leader: WaiterId,
    pub(super) parties: Vec<WaiterId>,
}

/// At the keeper: a decision that some have not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unsettled {
    awaiting: BTreeSet<MemberNo>,
    then: Then,
}

/// Who may forget the decision when all have confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Then {
    Notifier { node: MemberNo, token: Token },
    Parties { nodes: BTreeSet<MemberNo>, key: Key, round: Round },
}

impl SyncEngine {
    /// Tells who is woken. True when all know it as soon as the answer to `by` arrives: what is sent to its node before that comes
    /// before it.
    pub(super) fn wake(&mut self, turn: &mut Turn, woken: &[WaiterId], how: How, by: WaiterId) -> bool {
        let decision = self.next();
        let mut awaiting = BTreeSet::new();
        for (node, tokens) in Self::by_node(woken) {
            let confirms = node != self.me && node != by.node;
            if confirms {
                awaiting.insert(node);
            }
            let pieces = tokens.chunks(LIST_ITEMS_MAX).count();
            for (n, piece) in tokens.chunks(LIST_ITEMS_MAX).enumerate() {
                let confirm = (confirms && n + 1 == pieces).then_some(decision);
                self.send(turn, node, Body::Wake { tokens: piece.to_vec(), how, confirm });
            }
        }
        let settled = awaiting.is_empty();
        if !settled {
            let then = Then::Notifier { node: by.node, token: by.token };
            self.unsettled.insert(decision, Unsettled { awaiting, then });
        }
        settled
    }

    /// Opens a barrier for the parties on `nodes`. `known`: nodes that will remember it, those among them.
    pub(super) fn open_for(
        &mut self,
        turn: &mut Turn,
        (key, round): (Key, Round),
        leader: WaiterId,
        parties: &[WaiterId],
        nodes: &BTreeSet<MemberNo>,
        known: &BTreeSet<MemberNo>,
    ) {
        let decision = self.next();
        // One node lets its own out all at once, or none of them.
        let alone = super::ids::nodes(parties).len() < 2;
        let awaiting: BTreeSet<_> = nodes.iter().copied().filter(|node| *node != self.me && !alone).collect();
        let pieces = parties.chunks(LIST_ITEMS_MAX).count();
        for node in nodes {
            for (n, piece) in parties.chunks(LIST_ITEMS_MAX).enumerate() {
                let last = n + 1 == pieces;
                let confirm = (last && awaiting.contains(node)).then_some(decision);
                let parties = piece.to_vec();
                self.send(turn, *node, Body::Open { key, round, leader, parties, confirm, last });
            }
        }
        let then = Then::Parties { nodes: known.clone(), key, round };
        if awaiting.is_empty() && !alone {
            self.settle(turn, then);
        } else if !alone {
            self.unsettled.insert(decision, Unsettled { awaiting, then });
        }
    }

    pub(super) fn on_heard(&mut self, turn: &mut Turn, from: MemberNo, decision: u64) {
        let known = self.unsettled.get_mut(&decision).map(|unsettled| {
            let expected = unsettled.awaiting.remove(&from);
            (expected, unsettled.awaiting.is_empty())
        });
        match known {
            Some((true, false)) => {}
            Some((true, true)) => {
                if let Some(Unsettled { then, .. }) = self.unsettled.remove(&decision) {
                    self.settle(turn, then);
                }
            }
            _ => turn.distrust(from, super::Violation::Unasked),
        }
    }

    fn settle(&self, turn: &mut Turn, then: Then) {
        match then {
            Then::Notifier { node, token } => self.send(turn, node, Body::NotifySettled { token }),
            Then::Parties { nodes, key, round } => {
                for node in nodes {
                    self.send(turn, node, Body::RoundSettled { key, round });
                }
            }
        }
    }
}
