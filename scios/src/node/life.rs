//! One membership: a fabric, an endpoint and a place in the cluster, that begin and end together.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::config::NodeConfig;
use super::ping::Pinger;
use super::upper::{AnyCluster, LifeParts, Upper};
use super::{NodeError, Notice};
use crate::Nanos;
use crate::NodeId;
use crate::cluster::{ClusterNode, Config, Ended, Standing, Timing, View, Watcher};
use crate::memory::Memory;
use crate::metrics::{Gauge, Registry};
use crate::rpc::{Listener, Rpc};
use crate::verbs::Fabric;

pub struct Life {
    number: u64,
    rpc: Arc<Rpc>,
    cluster: Arc<AnyCluster>,
    progress: Arc<Progress>,
    pinger: Arc<Pinger>,
}

/// What all memberships of a node stand on.
pub(super) struct Ground {
    pub(super) memory: Arc<Memory>,
    pub(super) registry: Arc<Registry>,
    pub(super) upper: Arc<dyn Upper>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl Life {
    /// Begins to become a member; `wait_until_member` tells how that ends.
    pub(super) fn begin(
        config: &NodeConfig,
        ground: &Ground,
        number: u64,
        to_keeper: Sender<Notice>,
    ) -> Result<Arc<Self>, NodeError> {
        let Ground { memory, registry, upper } = ground;
        let id = NodeId::random().map_err(NodeError::Random)?;
        let fabric = config.open_fabric(id)?;
        let rpc = Rpc::with_metrics(Arc::clone(&fabric), registry);
        let progress = Progress::new(number, to_keeper, ground);
        let timing = Timing::new(config.failure_timeout);
        let membership = Config {
            memory: config.memory_bytes,
            join: config.join.clone(),
            voters_max: config.voters_max,
            join_timeout: timing.failure * 5,
            leave_timeout: timing.failure * 3,
            timing,
            ..Config::new(id, &config.name, &fabric.address())
        };
        let watcher = Arc::clone(&progress) as Arc<dyn Watcher>;
        let machine = upper.begin(&LifeParts { number, id, rpc: &rpc, memory, registry });
        let cluster = ClusterNode::new(&rpc, membership, machine, watcher);
        upper.cluster(number, &cluster);
        let pinger = Pinger::serve(&rpc)?;
        rpc.listen(Arc::new(Announcer {
            cluster: Arc::clone(&cluster),
            memory: Arc::clone(memory),
            due: Mutex::default(),
        }));
        rpc.start()?;
        cluster.start(NodeId::random().map_err(NodeError::Random)?.get());
        Ok(Arc::new(Self { number, rpc, cluster, progress, pinger }))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub fn id(&self) -> NodeId {
        self.fabric().id()
    }

    pub fn address(&self) -> String {
        self.fabric().address()
    }

    pub fn rpc(&self) -> &Arc<Rpc> {
        &self.rpc
    }

    pub fn fabric(&self) -> &Arc<dyn Fabric> {
        self.rpc.fabric()
    }

    pub fn cluster(&self) -> &Arc<AnyCluster> {
        &self.cluster
    }

    pub fn pinger(&self) -> &Arc<Pinger> {
        &self.pinger
    }

    /// The addresses of the other members, as last seen.
    pub(super) fn others(&self) -> Vec<String> {
        let (view, id) = (self.cluster.view(), self.id());
        view.members().filter(|member| member.id != id).map(|member| member.address.clone()).collect()
    }

    /// Ends when this node is a member that may act, or has failed to become one. The cluster bounds the time.
    pub(super) fn wait_until_member(&self) -> Result<(), NodeError> {
        match self.progress.wait(|state| state.ended.is_some() || state.standing == Standing::Serving) {
            None => Ok(()),
            Some(Ended::JoinFailed(error)) => Err(error.into()),
            Some(Ended::Left { .. }) => Err(NodeError::Ended("it left".into())),
            Some(Ended::Expelled { why }) => Err(NodeError::Ended(why)),
        }
    }

    /// True when the others know that this node has gone.
    pub(super) fn leave_and_wait(&self, handed_over_at: Option<u64>) -> bool {
        self.cluster.leave(handed_over_at);
        matches!(self.progress.wait(|state| state.ended.is_some()), Some(Ended::Left { orderly: true }))
    }

    pub(super) fn end(&self) {
        self.rpc.stop();
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("number", &self.number).field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What has become of the membership so far, and who waits for more.
struct Progress {
    number: u64,
    upper: Arc<dyn Upper>,
    to_keeper: Mutex<Sender<Notice>>,
    state: Mutex<State>,
    changed: Condvar,
    members: Gauge,
    epoch: Gauge,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    ended: Option<Ended>,
}

impl Progress {
    fn new(number: u64, to_keeper: Sender<Notice>, ground: &Ground) -> Arc<Self> {
        let registry = &ground.registry;
        Arc::new(Self {
            number,
            upper: Arc::clone(&ground.upper),
            to_keeper: Mutex::new(to_keeper),
            state: Mutex::new(State { standing: Standing::Joining, ended: None }),
            changed: Condvar::new(),
            members: registry.gauge(
                "scifs_members_count",
                "Members of the cluster as this node sees it",
                &[],
            ),
            epoch: registry.gauge("scifs_view_count", "The number of this node's view", &[]),
        })
    }

    /// Waits for a condition that the cluster's own deadlines make true.
    fn wait(&self, done: impl Fn(&State) -> bool) -> Option<Ended> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !done(state));
        state.ended.clone()
    }
}

impl Watcher for Progress {
    fn view(&self, view: &Arc<View>) {
        self.members.set(view.len() as i64);
        self.epoch.set(view.epoch.0 as i64);
        let names: Vec<_> = view.members().map(|member| member.name.as_str()).collect();
        tracing::info!(epoch = view.epoch.0, members = names.join(" "), "view");
        self.upper.view(self.number, view);
    }

    fn standing(&self, standing: Standing) {
        tracing::info!(?standing, "standing");
        // Before who waits for it: what a serving node offers is there when `Node::start` returns.
        self.upper.standing(self.number, standing);
        self.state.lock().standing = standing;
        self.changed.notify_all();
    }

    fn ended(&self, end: &Ended) {
        self.upper.ended(self.number, end);
        self.state.lock().ended = Some(end.clone());
        self.changed.notify_all();
        // Without a keeper the node is being started or stopped, and whoever does that waits for the state.
        let _ = self.to_keeper.lock().send(Notice::Ended { life: self.number, how: end.clone() });
    }
}

/// Tells the cluster now and then how much memory is free and how busy the machine is.
struct Announcer {
    cluster: Arc<AnyCluster>,
    memory: Arc<Memory>,
    due: Mutex<Nanos>,
}

const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);

impl Listener for Announcer {
    fn tick(&self, now: Nanos) {
        {
            let mut due = self.due.lock();
            if now < *due {
                return;
            }
            *due = now + ANNOUNCE_EVERY;
        }
        self.cluster.announce(self.memory.status().available_bytes(), load_per_mille());
    }
}

/// The machine's load over the last minute, in thousandths of its processors.
fn load_per_mille() -> u32 {
    let load = rustix::system::sysinfo().loads[0];
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    // The kernel counts load in 65536ths.
    u32::try_from(load * 1000 / 65_536 / processors).unwrap_or(u32::MAX)
}
