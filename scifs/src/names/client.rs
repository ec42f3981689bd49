//! A node's end of the name space: commands go through the cluster's log, queries to its leader.
//!
//! What waits here waits for other nodes, so it must not run on a thread that receives from the network, and not on one that
//! the watch's consequences need. Every wait ends after `patience`.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use scios::cluster::{Machine, Outcome, ProposeError};
use scios::node::AnyCluster;
use scios::rpc::{CallError, Incoming, Listener, Responder, Rpc, Service};
use scios::{Nanos, NodeId};

use super::attr::Inode;
use super::codec::{Ask, Asked, Settle, decode_outcome};
use super::command::{Answer, Applied, Command};
use super::error::{NameError, Refusal};
use super::event::Watch;
use super::query::{Found, Query};
use super::replica::{Replica, Shared};
use super::settling::Settling;
use super::state::{Founding, Names};
use super::xattrs::{XATTR_ADDRESS, address_text};

/// Message kinds that belong to names.
pub const NAMES_KINDS: RangeInclusive<u16> = 272..=287;

/// How long to wait before something is tried again that can't be waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// One membership's access to the names. `new` and `machine` in `Upper::begin`, `set_cluster` in `Upper::cluster`,
/// `end` in `Upper::ended`.
pub struct NamesClient {
    rpc: Arc<Rpc>,
    shared: Arc<Shared>,
    pub(super) cluster: RwLock<Option<Arc<AnyCluster>>>,
    pub(super) patience: Duration,
}

impl NamesClient {
    /// Registers with the endpoint. `founding` counts only if this node founds the cluster. `patience` must be longer than it
    /// takes to find a member dead.
    pub fn new(rpc: &Arc<Rpc>, founding: &Founding, patience: Duration, watch: Arc<dyn Watch>) -> Arc<Self> {
        let (names, settling) = (RwLock::new(Names::new(founding)), Settling::default());
        let shared = Arc::new(Shared { names, settling, watch });
        let client = Self { rpc: Arc::clone(rpc), shared, cluster: RwLock::default(), patience };
        let client = Arc::new(client);
        rpc.serve(NAMES_KINDS, Arc::clone(&client) as Arc<dyn Service>);
        rpc.listen(Arc::clone(&client) as Arc<dyn Listener>);
        client
    }

    /// The state that the cluster is to replicate.
    pub fn machine(&self) -> Box<dyn Machine> {
        Box::new(Replica(Arc::clone(&self.shared)))
    }

    pub fn set_cluster(&self, cluster: &Arc<AnyCluster>) {
        *self.cluster.write() = Some(Arc::clone(cluster));
    }

    /// The membership is over: whoever waits gets an error soon.
    pub fn end(&self) {
        let cluster = self.cluster.write().take();
        drop(cluster);
        self.shared.settling.end();
    }

    /// Has a command applied by every member. When it returns, this node's replica has applied it. Waits.
    pub fn run(&self, command: &Command) -> Result<Applied, NameError> {
        const OPERATION: &str = "change names";
        command.check()?;
        let nonsense = |why: String| NameError::Nonsense { operation: OPERATION, why };
        let bytes = command.encode().map_err(|why| nonsense(why.to_string()))?;
        let began = Instant::now();
        let decision = loop {
            let left = self.patience.saturating_sub(began.elapsed());
            match self.cluster(OPERATION)?.propose_and_wait(bytes.clone(), left) {
                Err(ProposeError::TooMany { .. }) if began.elapsed() < self.patience => thread::sleep(PAUSE),
                decision => break decision,
            }
        };
        match decision {
            Ok(Outcome::Value(bytes)) => {
                let (index, answer) = decode_outcome(&bytes).map_err(|why| nonsense(why.to_string()))?;
                Ok(Applied { index, answer: answer? })
            }
            Ok(other) => Err(nonsense(format!("{other:?}"))),
            Err(ProposeError::NotMember) => Err(NameError::NotMember { operation: OPERATION }),
            Err(why) => Err(NameError::Undecided {
                operation: OPERATION,
                waited_ms: began.elapsed().as_millis() as u64,
                why: why.to_string(),
            }),
        }
    }

    /// What the names are now: after every command that had ended anywhere when this began. Waits.
    pub fn ask(&self, query: &Query) -> Result<Found, NameError> {
        Ok(self.ask_at(query)?.1)
    }

    /// As `ask`, and the last command that the answer takes into account: this node's replica, and so its events, may be
    /// behind that.
    pub fn ask_at(&self, query: &Query) -> Result<(u64, Found), NameError> {
        const OPERATION: &str = "look at names";
        query.check()?;
        let began = Instant::now();
        let mut why = "there is no leader".to_owned();
        while began.elapsed() < self.patience {
            let cluster = self.cluster(OPERATION)?;
            // First ask who leads, then read: see `ClusterNode::leads`.
            if cluster.leads() {
                return self.pinned(query, self.local_at(query));
            }
            if let Some(leader) = cluster.leader().filter(|leader| *leader != self.rpc.fabric().id()) {
                drop(cluster);
                match self.ask_leader(leader, query) {
                    Ok(Asked::Found { index, found }) => return Ok((index, found)),
                    Ok(Asked::Refused(refusal)) => return self.pinned(query, Err(refusal.into())),
                    Ok(Asked::NotLeader) => "the leader has changed".clone_into(&mut why),
                    Err(error) => {
                        why = error.to_string();
                        self.reconnect(leader, &error);
                    }
                }
            }
            thread::sleep(PAUSE);
        }
        Err(NameError::NoAnswer { operation: OPERATION, waited_ms: began.elapsed().as_millis() as u64, why })
    }

    fn ask_leader(&self, leader: NodeId, query: &Query) -> Result<Asked, CallError> {
        // A leader that died is found out earlier than all patience ends.
        self.rpc.call_wait(leader, &Ask(query.clone()), &[], self.patience / 4)
    }

    /// A file that was never asked for its address has none yet: then this gives it one.
    fn pinned(
        &self,
        query: &Query,
        found: Result<(u64, Found), NameError>,
    ) -> Result<(u64, Found), NameError> {
        match (query, &found) {
            (Query::GetXattr { inode, name }, Err(NameError::Refused(Refusal::NoXattr)))
                if name == XATTR_ADDRESS =>
            {
                match self.pin(*inode) {
                    Ok((index, address)) => Ok((index, Found::Value(address_text(address).into_bytes()))),
                    // What has no address has no such attribute.
                    Err(NameError::Refused(Refusal::IsDirectory | Refusal::WrongKind)) => found,
                    Err(why) => Err(why),
                }
            }
            _ => found,
        }
    }

    /// Where the file lies, for ever from now on. Waits.
    pub fn address(&self, inode: Inode) -> Result<u64, NameError> {
        Ok(self.pin(inode)?.1)
    }

    fn pin(&self, inode: Inode) -> Result<(u64, u64), NameError> {
        let Applied { index, answer } = self.run(&Command::Pin { inode })?;
        match answer {
            Answer::Address(address) => Ok((index, address)),
            other => Err(NameError::Nonsense { operation: "give an address", why: format!("{other:?}") }),
        }
    }

    /// What this node's replica knows, at once; maybe old.
    pub fn local(&self, query: &Query) -> Result<Found, NameError> {
        Ok(self.local_at(query)?.1)
    }

    fn local_at(&self, query: &Query) -> Result<(u64, Found), NameError> {
        let names = self.shared.names.read();
        Ok((names.applied(), names.query(query)?))
    }

    /// One event that `Watch::event` has left for later is done.
    pub fn consequences_done(&self, index: u64) {
        self.shared.settling.done(index);
        self.shared.settling.answer();
    }

    /// This node's number in the cluster.
    pub fn member(&self) -> Option<u32> {
        let cluster = self.cluster.read().clone()?;
        Some(cluster.view().member(self.rpc.fabric().id())?.number)
    }

    /// Orphans that are said to be open on this node, for after `Event::Restored`.
    pub fn orphans(&self) -> Vec<Inode> {
        self.member().map_or_else(Vec::new, |member| self.shared.names.read().held_by(member).collect())
    }

    pub(super) fn cluster(&self, operation: &'static str) -> Result<Arc<AnyCluster>, NameError> {
        self.cluster.read().clone().ok_or(NameError::NotMember { operation })
    }

    pub(super) fn rpc(&self) -> &Arc<Rpc> {
        &self.rpc
    }

    /// Members aren't all connected to each other from the start.
    pub(super) fn reconnect(&self, peer: NodeId, error: &CallError) {
        if !matches!(error, CallError::PeerLost { .. }) {
            return;
        }
        let cluster = self.cluster.read().clone();
        if let Some(cluster) = cluster {
            cluster.reach(peer);
        }
    }

    fn serve_query(&self, query: &Query) -> Asked {
        if !self.cluster.read().as_ref().is_some_and(|cluster| cluster.leads()) {
            return Asked::NotLeader;
        }
        let names = self.shared.names.read();
        match names.query(query) {
            Ok(found) => Asked::Found { index: names.applied(), found },
            Err(refusal) => Asked::Refused(refusal),
        }
    }
}

impl Service for NamesClient {
    fn request(&self, peer: NodeId, message: Incoming<'_>, responder: Responder) {
        if let Ok(Settle { index }) = message.decode() {
            return self.shared.settling.keep(index, responder);
        }
        let answered = match message.decode::<Ask>() {
            Ok(Ask(query)) => responder.reply(&self.serve_query(&query), &[]),
            Err(why) => return responder.malformed(&why.to_string()),
        };
        if let Err(why) = answered {
            tracing::debug!(%peer, "a query about names was not answered: {why}");
        }
    }

    fn one_way(&self, peer: NodeId, message: Incoming<'_>) {
        tracing::warn!(%peer, kind = message.kind, "a message about names that wants no answer");
    }
}

impl Listener for NamesClient {
    /// Where applying had no consequences, nobody else notices that a request has waited long enough.
    fn tick(&self, _now: Nanos) {
        self.shared.settling.answer();
    }
}

impl fmt::Debug for NamesClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamesClient").field("member", &self.member()).finish_non_exhaustive()
    }
}
