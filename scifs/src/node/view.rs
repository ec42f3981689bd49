//! The membership as pages need it, and what they ask of it.

use scios::NodeId;

use crate::coherence;

/// The members, and how many departures (and breaks) there were before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub departures: u64,
    /// Ascending by number.
    pub members: Vec<NodeMember>,
    /// The number of the member with whose departure this many were reached, if it had handed over all that it held.
    pub handed_over: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMember {
    pub number: u32,
    pub node: NodeId,
    pub address: String,
    /// How many departures there were when it joined.
    pub joined: u64,
}

/// The cluster that this node is a member of.
pub trait Membership: Send + Sync + 'static {
    /// Whether this node may act for the cluster at this very moment.
    fn may_act(&self) -> bool;
    /// Messages between two living members were lost: raise `departures`, if it is still that many.
    fn report_break(&self, departures: u64);
    /// What this node holds can't be trusted: end the membership and begin another one. Must not wait.
    fn rejoin(&self, why: &str);
}

impl From<&scios::cluster::View> for NodeView {
    fn from(view: &scios::cluster::View) -> Self {
        let member = |member: &scios::cluster::Member| NodeMember {
            number: member.number,
            node: member.id,
            address: member.address.clone(),
            joined: member.joined,
        };
        let handed_over = view.handed_over;
        Self { departures: view.departures, members: view.members().map(member).collect(), handed_over }
    }
}

impl NodeView {
    pub(super) fn number_of(&self, node: NodeId) -> Option<u32> {
        self.members.iter().find(|member| member.node == node).map(|member| member.number)
    }

    pub(super) fn to_engine(&self) -> coherence::View {
        let member = |m: &NodeMember| coherence::Member {
            no: coherence::MemberNo(m.number),
            joined: coherence::Epoch(m.joined),
        };
        let mut members: Vec<_> = self.members.iter().map(member).collect();
        members.sort_by_key(|member| member.no);
        let handed_over = self.handed_over.map(coherence::MemberNo);
        coherence::View { epoch: coherence::Epoch(self.departures), members, handed_over }
    }
}
