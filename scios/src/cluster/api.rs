//! What goes into a [`Cluster`](super::Cluster) and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::command::{Outcome, Refusal};
use super::proposals::ProposeError;
use super::timing::Timing;
use super::view::View;
use super::wire::ClusterMessage;
use crate::verbs::ConnectError;
use crate::{Nanos, NodeId};

/// One node, as it wants to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// This run of it: never used before, never used again.
    pub id: NodeId,
    pub name: String,
    /// Where it listens, as others reach it.
    pub address: String,
    /// Bytes that it donates.
    pub memory: u64,
    /// Members of the cluster to join; none founds a new cluster.
    pub join: Vec<String>,
    /// How many vote, 1, 3 or 5. The founder's value counts for the whole cluster.
    pub voters_max: u8,
    pub timing: Timing,
    pub join_timeout: Duration,
    pub leave_timeout: Duration,
    /// For everything that is left to chance.
    pub seed: u64,
}

impl Config {
    pub fn new(id: NodeId, name: &str, address: &str) -> Self {
        let timing = Timing::default();
        Self {
            id,
            name: name.into(),
            address: address.into(),
            memory: 0,
            join: Vec::new(),
            voters_max: 3,
            timing,
            join_timeout: timing.failure * 5,
            leave_timeout: timing.failure * 3,
            seed: id.get(),
        }
    }
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// It begins. `cluster` is a random number, the cluster's name if this node founds one.
    Start {
        cluster: u64,
    },
    /// Time has passed; due at least once in every `Timing::tick`.
    Tick,
    Up {
        peer: NodeId,
    },
    Down {
        peer: NodeId,
    },
    ConnectFailed {
        address: String,
        reason: ConnectError,
    },
    /// A message to this peer could not be sent.
    Unsent {
        peer: NodeId,
    },
    Message {
        from: NodeId,
        message: ClusterMessage,
    },
    /// A command for the machine. It ends in exactly one `Decided` with the same token, chosen by the caller.
    Propose {
        token: u64,
        command: Vec<u8>,
        timeout: Duration,
    },
    /// What this node has to give, for others to know.
    Announce {
        free: u64,
        load: u32,
    },
    /// Messages between this node and another member were lost though both live, after a view with so many departures.
    Break {
        departures_seen: u64,
    },
    /// The layers above want to talk to this member, from now on.
    Reach {
        peer: NodeId,
    },
    /// It wants to leave. When the departures were so many, it had handed over what it held.
    Leave {
        handed_over_at: Option<u64>,
    },
    /// What it holds as a member can't be trusted any more, so it must not go on as this member.
    GiveUp {
        why: String,
    },
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    Send {
        to: NodeId,
        message: ClusterMessage,
    },
    Connect {
        address: String,
    },
    /// This node is a member. Views follow, and a lease, before it may act.
    Joined {
        cluster: u64,
        number: u32,
    },
    JoinFailed(JoinError),
    /// The members are these from now on; messages of older epochs are to be refused.
    View(Arc<View>),
    /// This node may act for the cluster until then, on its own clock, and must look at the clock before it acts.
    Lease {
        until: Nanos,
    },
    Standing(Standing),
    /// A command has come to its end.
    Decided {
        token: u64,
        outcome: Result<Outcome, ProposeError>,
    },
    /// This node is no member any more, as it wished. Not orderly: the others will find out by themselves.
    Left {
        orderly: bool,
    },
    /// This node is no member any more. It may join again, under a new `NodeId`.
    Expelled {
        why: String,
    },
}

/// Whether a node may act for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not a member yet, or without its first lease.
    Joining,
    /// It holds a lease.
    Serving,
    /// Its lease has run out: no leader could renew it. It must not act; it may come back.
    Isolated,
    /// It serves nobody any more and waits to be let go.
    Leaving,
    Left,
    Expelled,
}

/// Why a node did not become a member.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JoinError {
    #[error("the cluster refuses this node: {0}")]
    Refused(#[from] Refusal),
    #[error("this node is a member of another cluster already; end it and start it again to join this one")]
    OtherCluster,
    #[error("cannot join: {0}")]
    Connect(ConnectError),
    #[error("did not become a member within {waited_ms} ms: {why}")]
    TimedOut { waited_ms: u64, why: String },
}
