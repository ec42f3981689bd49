//! What a node can say about itself and its cluster at any time, also without a quorum.

use std::sync::Arc;
use std::time::Duration;

use super::api::Standing;
use super::core::Cluster;
use super::leading::places;
use super::state::Machine;
use super::view::View;
use super::wire::Announcement;
use crate::{Nanos, NodeId};

/// One node's picture of the cluster.
#[derive(Clone, Debug)]
pub struct Status {
    pub id: NodeId,
    pub standing: Standing,
    pub view: Arc<View>,
    pub leader: Option<NodeId>,
    pub term: u64,
    /// The index of the last command that this node has applied.
    pub applied: u64,
    pub voters: Vec<NodeId>,
    /// While the voters change: those of before, who still have to agree.
    pub voters_outgoing: Vec<NodeId>,
    /// This node leads, and the voters are changing (or may be).
    pub voters_changing: bool,
    /// As many vote as the members call for, and this node knows it: when all members say so, the cluster survives what it can
    /// survive. A voter that dies before is missed by the others for ever if they still need it to decide.
    pub voters_settled: bool,
    /// How long this node may act without hearing more.
    pub lease_left: Duration,
    pub quorum: Quorum,
    /// Free memory and load of the members, as far as this node has heard.
    pub announcements: Vec<Announcement>,
}

/// Whether the cluster can decide anything, as far as this node can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quorum {
    Reached,
    /// No leader that a majority stands by was heard of for this long.
    Lost {
        since: Duration,
        detail: String,
    },
}

impl std::fmt::Display for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reached => f.write_str("quorum"),
            Self::Lost { since, detail } => write!(f, "no quorum for {} ms: {detail}", since.as_millis()),
        }
    }
}

impl<M: Machine> Cluster<M> {
    pub fn status(&self, now: Nanos) -> Status {
        let view = self.state.view().clone();
        let consensus = self.consensus.as_ref();
        Status {
            id: self.config.id,
            standing: self.standing(now),
            leader: self.leader(),
            term: consensus.map_or(0, |c| c.term()),
            applied: self.applied(),
            voters: consensus.map(|c| self.ids(&c.conf().voters)).unwrap_or_default(),
            voters_outgoing: consensus.map(|c| self.ids(&c.conf().voters_outgoing)).unwrap_or_default(),
            voters_changing: consensus.is_some_and(|c| c.leads() && c.is_unsettled()),
            voters_settled: self.voters_settled(),
            lease_left: self.lease.until().since(now),
            quorum: match self.leaderless_since {
                None => Quorum::Reached,
                Some(since) => Quorum::Lost { since: now.since(since), detail: self.quorum_detail() },
            },
            announcements: view.members().filter_map(|m| self.announcements.of(m.id)).collect(),
            view,
        }
    }

    fn voters_settled(&self) -> bool {
        let view = self.state.view();
        let staying = view.members().filter(|m| !m.leaving).count();
        self.consensus.as_ref().is_some_and(|c| {
            let unsettled = c.is_joint() || c.leads() && c.is_changing();
            !unsettled && c.conf().voters.len() == places(staying, view.voters_max)
        })
    }

    /// Which voters this node can reach, in words. While they change, those of before have to agree as well.
    pub(super) fn quorum_detail(&self) -> String {
        let Some(consensus) = &self.consensus else { return "this node is not a member".into() };
        let conf = consensus.conf();
        let now = self.reached_of(&conf.voters);
        if conf.voters_outgoing.is_empty() {
            return now;
        }
        format!(
            "{now}; they were about to change, so of those before too: {}",
            self.reached_of(&conf.voters_outgoing)
        )
    }

    fn reached_of(&self, voters: &[u64]) -> String {
        let voters = self.ids(voters);
        let reached = |id: &NodeId| *id == self.config.id || self.up.contains(id);
        let missing: Vec<String> =
            voters.iter().filter(|id| !reached(id)).map(|id| self.name_of(*id)).collect();
        format!(
            "{} of {} voters are connected{}{}",
            voters.len() - missing.len(),
            voters.len(),
            if missing.is_empty() { "" } else { ", missing: " },
            missing.join(", ")
        )
    }

    fn name_of(&self, id: NodeId) -> String {
        self.state.view().member(id).map_or_else(|| id.to_string(), |m| format!("{} ({})", m.name, m.address))
    }

    fn ids(&self, raw: &[u64]) -> Vec<NodeId> {
        raw.iter().filter_map(|id| NodeId::new(*id)).collect()
    }
}
