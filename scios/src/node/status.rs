//! What a node says about itself, for people and for machines.

use serde::Serialize;

use super::Life;
use super::config::NodeConfig;
use crate::cluster::Quorum;
use crate::memory::{Memory, MemoryStatus};

/// One node's picture of itself and its cluster. Field names are part of the interface (`scifs status --json`).
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub id: String,
    pub number: Option<u32>,
    pub address: String,
    pub fabric: &'static str,
    /// Whether traffic is authenticated and, over TCP, encrypted.
    pub secret: bool,
    pub cluster: String,
    pub epoch: u64,
    pub standing: String,
    /// `null` while decisions can be made, otherwise why they can't.
    pub no_quorum: Option<String>,
    /// This node knows of as many voters as the members call for. When all say so, the death of one is survived.
    pub voters_settled: bool,
    pub lease_left_ms: u64,
    pub members: Vec<MemberStatus>,
    pub memory: MemoryStatus,
    pub used_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemberStatus {
    pub number: u32,
    pub name: String,
    pub id: String,
    pub address: String,
    pub memory_bytes: u64,
    /// As the member announced it last; unknown until this node has heard of it.
    pub free_bytes: Option<u64>,
    pub load_per_mille: Option<u32>,
    pub votes: bool,
    pub leads: bool,
}

pub(super) fn of(config: &NodeConfig, life: &Life, memory: &Memory) -> NodeStatus {
    let cluster = life.cluster().status();
    let memory = memory.status();
    let announced = |id| cluster.announcements.iter().find(|a| a.member == id);
    let members = cluster.view.members().map(|member| MemberStatus {
        number: member.number,
        name: member.name.clone(),
        id: member.id.to_string(),
        address: member.address.clone(),
        memory_bytes: member.memory,
        free_bytes: announced(member.id).map(|a| a.free),
        load_per_mille: announced(member.id).map(|a| a.load),
        votes: cluster.voters.contains(&member.id),
        leads: cluster.leader == Some(member.id),
    });
    NodeStatus {
        name: config.name.clone(),
        id: cluster.id.to_string(),
        number: cluster.view.member(cluster.id).map(|member| member.number),
        address: life.address(),
        fabric: config.fabric.name(),
        secret: config.secret.is_some(),
        cluster: format!("{:016x}", cluster.view.cluster),
        epoch: cluster.view.epoch.0,
        standing: format!("{:?}", cluster.standing).to_lowercase(),
        no_quorum: match &cluster.quorum {
            Quorum::Reached => None,
            lost @ Quorum::Lost { .. } => Some(lost.to_string()),
        },
        voters_settled: cluster.voters_settled,
        lease_left_ms: cluster.lease_left.as_millis() as u64,
        members: members.collect(),
        used_bytes: memory.used_bytes(),
        memory,
    }
}
