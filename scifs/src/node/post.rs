//! Messages of other parts (locks) between members: they keep the same order, and count as lost together with messages about pages.

use scios::NodeId;
use scios::rpc::codec::Message;

use super::pages::Pages;
use crate::coherence::MemberNo;

impl Pages {
    /// Sends a message, which isn't fenced, of an epoch (as counted by departures). Never waits; once and in order, or the membership
    /// raises the epoch. False when `to` is no member as far as this node knows.
    pub fn post(&self, to: MemberNo, epoch: u64, message: &impl Message) -> bool {
        let roster = self.peers.roster();
        let Some(link) = roster.link(to) else { return false };
        self.peers.send(link, epoch, message, &[]);
        self.peers.dial_new();
        true
    }

    /// Whether this node has been told that this one is a member.
    pub fn knows(&self, node: NodeId) -> bool {
        self.peers.roster().number(node).is_some()
    }

    /// A message of that epoch came from another node: which member it is. Nothing when it is none (yet), or when messages
    /// before this one were lost: then it must not be heard.
    pub fn heard(&self, from: NodeId, epoch: u64) -> Option<MemberNo> {
        let roster = self.peers.roster();
        let number = roster.number(from)?;
        (!self.peers.is_cut_off(roster.link(number)?, epoch)).then_some(number)
    }
}
