//! Binds [`Cluster`] to a node's RPC endpoint: events go in on the thread that received them, effects come out on it.
//!
//! One lock guards the state machine and is held only while it thinks. Effects queue up in the order in which they
//! were decided and are performed by one thread at a time, whichever comes first; others leave theirs to it. So
//! watchers see views in order, and may call back.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::api::{Config, Effect, Input, JoinError, Standing};
use super::command::Outcome;
use super::core::Cluster;
use super::proposals::ProposeError;
use super::state::Machine;
use super::status::Status;
use super::view::View;
use super::wire::ClusterMessage;
use crate::rpc::codec::Message;
use crate::rpc::{Incoming, Listener, Responder, Rpc, Service};
use crate::verbs::{ConnectError, DownReason, FabricError};
use crate::{Nanos, NodeId};

/// Who is told what becomes of the membership. Called by the receiving threads, in order; it must not wait.
pub trait Watcher: Send + Sync + 'static {
    /// The members are these from now on. Messages carry the new epoch already.
    fn view(&self, _view: &Arc<View>) {}
    fn standing(&self, _standing: Standing) {}
    /// The last that is heard: this node is no member any more, and needs a new `NodeId` to become one again.
    fn ended(&self, _end: &Ended) {}
}

/// How a membership ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    JoinFailed(JoinError),
    Left { orderly: bool },
    Expelled { why: String },
}

/// What a command ends in.
pub type Decision = Result<Outcome, ProposeError>;
type Done = Box<dyn FnOnce(Decision) + Send>;

/// What is asked so often that it can't wait for the state machine's lock. Written under it after each input, before
/// anything that follows from the input leaves this node.
#[derive(Debug, Default)]
struct Picture {
    /// 0 for none.
    leader: AtomicU64,
    applied: AtomicU64,
    reads_until: AtomicU64,
}

impl Picture {
    fn take<M: Machine>(&self, cluster: &Cluster<M>) {
        self.leader.store(cluster.leader().map_or(0, NodeId::get), Ordering::Release);
        self.applied.store(cluster.applied(), Ordering::Release);
        self.reads_until.store(cluster.reads_until().0, Ordering::Release);
    }
}

/// One node's membership at work.
pub struct ClusterNode<M: Machine> {
    rpc: Arc<Rpc>,
    cluster: Mutex<Cluster<M>>,
    /// What was decided and is not done yet.
    effects: Mutex<VecDeque<Effect>>,
    performing: Mutex<()>,
    lease_until: AtomicU64,
    picture: Picture,
    view: RwLock<Arc<View>>,
    waiting: Mutex<(u64, BTreeMap<u64, Done>)>,
    watcher: Arc<dyn Watcher>,
}

impl<M: Machine> ClusterNode<M> {
    /// Registers with the endpoint; call [`Self::start`] once that has been started.
    pub fn new(rpc: &Arc<Rpc>, config: Config, machine: M, watcher: Arc<dyn Watcher>) -> Arc<Self> {
        let cluster = Cluster::new(config, machine);
        let node = Arc::new(Self {
            rpc: Arc::clone(rpc),
            view: RwLock::new(Arc::clone(cluster.view())),
            cluster: Mutex::new(cluster),
            effects: Mutex::default(),
            performing: Mutex::default(),
            lease_until: AtomicU64::new(0),
            picture: Picture::default(),
            waiting: Mutex::default(),
            watcher,
        });
        rpc.serve(ClusterMessage::KIND..=ClusterMessage::KIND, Arc::clone(&node) as Arc<dyn Service>);
        rpc.listen(Arc::clone(&node) as Arc<dyn Listener>);
        node
    }

    /// Founds a cluster (which gets this random number as its name), or begins to join one.
    pub fn start(&self, cluster: u64) {
        self.feed(Input::Start { cluster });
    }

    /// Whether this node may act for the cluster at this very moment. Whoever acts must ask first, each time.
    pub fn may_act(&self) -> bool {
        self.rpc.fabric().now().0 < self.lease_until.load(Ordering::Acquire)
    }

    /// Until when it may, on the fabric's clock.
    pub fn lease_until(&self) -> Nanos {
        Nanos(self.lease_until.load(Ordering::Acquire))
    }

    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read())
    }

    pub fn status(&self) -> Status {
        let cluster = self.cluster.lock();
        cluster.status(self.rpc.fabric().now())
    }

    /// Looks at the state machine and its replicated machine, as they are on this node now.
    pub fn with<T>(&self, look: impl FnOnce(&Cluster<M>) -> T) -> T {
        look(&self.cluster.lock())
    }

    /// Looks at the replicated machine alone.
    pub fn machine<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        self.with(|cluster| look(cluster.machine()))
    }

    /// Who leads, as far as this node knows: whom to ask.
    pub fn leader(&self) -> Option<NodeId> {
        NodeId::new(self.picture.leader.load(Ordering::Acquire))
    }

    /// Whether what is read from this node's machine from now on is up to date: it has seen every command that had
    /// ended anywhere in the cluster before this call. First ask, then read. `LEASES.md`, "Reading at the leader".
    pub fn leads(&self) -> bool {
        self.rpc.fabric().now().0 < self.picture.reads_until.load(Ordering::Acquire)
    }

    /// The index of the last log entry that this node's machine has seen.
    pub fn applied(&self) -> u64 {
        self.picture.applied.load(Ordering::Acquire)
    }

    /// Has a command applied by every replica. `done` runs once, on some receiving thread or, if the command can't even
    /// begin, on this one.
    pub fn propose(&self, command: Vec<u8>, timeout: Duration, done: impl FnOnce(Decision) + Send + 'static) {
        let token = {
            let mut waiting = self.waiting.lock();
            waiting.0 += 1;
            let token = waiting.0;
            waiting.1.insert(token, Box::new(done));
            token
        };
        self.feed(Input::Propose { token, command, timeout });
    }

    /// As `propose`, and waits for the end of it. Not from a receiving thread.
    pub fn propose_and_wait(&self, command: Vec<u8>, timeout: Duration) -> Decision {
        let (tell, told) = mpsc::sync_channel(1);
        self.propose(command, timeout, move |decision| {
            // Nobody listens any more when the waiter has given up.
            let _ = tell.try_send(decision);
        });
        let waited_ms = timeout.as_millis() as u64;
        told.recv_timeout(timeout * 2).unwrap_or(Err(ProposeError::TimedOut { waited_ms }))
    }

    /// Says what this node has to give, for others to know.
    pub fn announce(&self, free: u64, load: u32) {
        self.feed(Input::Announce { free, load });
    }

    /// Says that messages between this node and another member were lost though both live, in the time of a view with so
    /// many departures. A view with more of them follows, once for all who report it, as soon as there is a quorum.
    pub fn report_break(&self, departures_seen: u64) {
        self.feed(Input::Break { departures_seen });
    }

    /// Keeps a connection to a member from now on, as long as both are members. True when it is up; otherwise
    /// `Listener::up` of the endpoint tells when it is. By itself, the cluster connects members to voters and to the leader only.
    pub fn reach(&self, member: NodeId) -> bool {
        let up = self.with(|cluster| cluster.is_connected(member));
        self.feed(Input::Reach { peer: member });
        up
    }

    /// Begins to leave. `Watcher::ended` follows. What this node held is with others if the departures are still as many as when it was
    /// handed over; without that number, or with other departures since, it leaves as if it had died.
    pub fn leave(&self, handed_over_at: Option<u64>) {
        self.feed(Input::Leave { handed_over_at });
    }

    /// Ends this membership at once, since what the node holds as this member can't be trusted. `Watcher::ended` follows with
    /// [`Ended::Expelled`], upon which a [`Node`](crate::node::Node) begins another one.
    pub fn give_up(&self, why: &str) {
        self.feed(Input::GiveUp { why: why.into() });
    }

    fn feed(&self, input: Input) {
        {
            let mut cluster = self.cluster.lock();
            // Under the lock, so that the state machine sees a time that never goes back.
            let effects = cluster.handle(self.rpc.fabric().now(), input);
            self.picture.take(&cluster);
            self.effects.lock().extend(effects);
        }
        while let Some(performing) = self.performing.try_lock() {
            loop {
                // A statement of its own: the queue must not stay locked while the effect is performed.
                let next = self.effects.lock().pop_front();
                let Some(effect) = next else { break };
                self.perform(effect);
            }
            drop(performing);
            // Somebody may have added an effect after the last look and before the lock was free.
            if self.effects.lock().is_empty() {
                break;
            }
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                if let Err(why) = self.rpc.one_way(to, &message, &[]) {
                    tracing::debug!(peer = %to, "cluster message not sent: {why}");
                    self.feed(Input::Unsent { peer: to });
                }
            }
            Effect::Connect { address } => self.connect(&address),
            Effect::Joined { cluster, number } => tracing::info!(cluster, number, "member"),
            Effect::View(view) => self.take_view(view),
            Effect::Lease { until } => self.lease_until.store(until.0, Ordering::Release),
            Effect::Standing(standing) => self.watcher.standing(standing),
            Effect::Decided { token, outcome } => {
                let done = self.waiting.lock().1.remove(&token);
                if let Some(done) = done {
                    done(outcome);
                }
            }
            Effect::JoinFailed(why) => self.watcher.ended(&Ended::JoinFailed(why)),
            Effect::Left { orderly } => self.watcher.ended(&Ended::Left { orderly }),
            Effect::Expelled { why } => self.watcher.ended(&Ended::Expelled { why }),
        }
    }

    fn connect(&self, address: &str) {
        if let Err(why) = self.rpc.fabric().connect(address) {
            let what = match why {
                FabricError::Stopped => return,
                other => other.to_string(),
            };
            let reason = ConnectError::Fabric { address: address.into(), fabric: "this fabric", what };
            self.feed(Input::ConnectFailed { address: address.into(), reason });
        }
    }

    fn take_view(&self, view: Arc<View>) {
        self.rpc.set_epoch(view.epoch);
        let before = std::mem::replace(&mut *self.view.write(), Arc::clone(&view));
        let gone: Vec<NodeId> = before.members().map(|m| m.id).filter(|id| !view.contains(*id)).collect();
        for id in gone {
            self.forget_if_gone(id);
        }
        self.watcher.view(&view);
    }

    /// Ends what waits for a node that was removed. While it is still connected, it can be told that it was.
    fn forget_if_gone(&self, peer: NodeId) {
        if !self.view().contains(peer) && !self.with(|c| c.is_connected(peer)) {
            self.rpc.forget(peer);
        }
    }
}

impl<M: Machine> Service for ClusterNode<M> {
    fn request(&self, _peer: NodeId, _message: Incoming<'_>, responder: Responder) {
        responder.malformed("cluster messages are not requests");
    }

    fn one_way(&self, peer: NodeId, message: Incoming<'_>) {
        match message.decode::<ClusterMessage>() {
            Ok(message) => self.feed(Input::Message { from: peer, message }),
            Err(why) => tracing::warn!(%peer, "refused a cluster message: {why}"),
        }
    }
}

impl<M: Machine> Listener for ClusterNode<M> {
    fn up(&self, peer: NodeId, _address: &str) {
        self.feed(Input::Up { peer });
    }

    fn down(&self, peer: NodeId, _reason: &DownReason) {
        self.feed(Input::Down { peer });
        self.forget_if_gone(peer);
    }

    fn connect_failed(&self, address: &str, reason: &ConnectError) {
        self.feed(Input::ConnectFailed { address: address.into(), reason: reason.clone() });
    }

    fn tick(&self, _now: Nanos) {
        self.feed(Input::Tick);
    }
}

impl<M: Machine> fmt::Debug for ClusterNode<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterNode").field("id", &self.rpc.fabric().id()).finish_non_exhaustive()
    }
}
