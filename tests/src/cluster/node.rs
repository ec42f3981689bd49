//! One node of a simulated cluster: the real membership, the real sessions, a simulated fabric.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scios::NodeId;
use scios::cluster::{ClusterNode, Config, Ended, Outcome, ProposeError, Timing, View, Watcher};
use scios::rpc::Rpc;
use scios::verbs::sim::SimFabric;
use scios::verbs::{Fabric, FabricConfig};

use super::machine::{Histories, Places};

/// Locks, also after a panic of another test's thread: the first panic is the one to report.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A view, and the node that has come to it.
pub type ViewSeen = (NodeId, Arc<View>);

/// What nodes of one run have seen, in the order in which they saw it.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub(crate) views: Arc<Mutex<Vec<ViewSeen>>>,
    pub histories: Histories,
    pub(crate) calls: Arc<Mutex<Vec<Call>>>,
    moment: Arc<AtomicU64>,
}

/// One command, from its call to its end. The moments are places in the order of all calls and ends of the run.
#[derive(Clone, Debug)]
pub struct Call {
    pub node: NodeId,
    pub command: u64,
    pub called: u64,
    pub ended: Option<(u64, Result<u64, ProposeError>)>,
}

#[derive(Debug)]
struct Recorder {
    id: NodeId,
    journal: Journal,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl Watcher for Recorder {
    fn view(&self, view: &Arc<View>) {
        lock(&self.journal.views).push((self.id, Arc::clone(view)));
    }

    fn ended(&self, end: &Ended) {
        *lock(&self.ended) = Some(end.clone());
    }
}

/// How nodes of a run are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub timing: Timing,
    pub voters_max: u8,
    /// How long a node tries to join, or waits to be let go.
    pub patience: Duration,
    /// See [`Places::new`].
    pub ballast: usize,
}

impl Default for Setup {
    fn default() -> Self {
        // Giving up is another matter than being refused; it has tests of its own.
        Self { timing: Timing::default(), voters_max: 3, patience: Duration::from_secs(600), ballast: 0 }
    }
}

#[derive(Debug)]
pub struct SimNode {
    pub id: NodeId,
    pub name: String,
    pub fabric: Arc<SimFabric>,
    pub cluster: Arc<ClusterNode<Places>>,
    rpc: Arc<Rpc>,
    journal: Journal,
    ended: Arc<Mutex<Option<Ended>>>,
    pub crashed: bool,
    pub paused: bool,
    /// Its leaving was begun.
    pub leaving: bool,
}

impl SimNode {
    /// Starts a node on a fabric that was just made for it.
    pub fn start(
        fabric: Arc<SimFabric>,
        name: String,
        join: Vec<String>,
        setup: &Setup,
        journal: &Journal,
        random: u64,
    ) -> Self {
        let id = fabric.id();
        let rpc = Rpc::new(Arc::clone(&fabric) as Arc<dyn Fabric>);
        let config = Config {
            memory: 1 << 30,
            join,
            voters_max: setup.voters_max,
            timing: setup.timing,
            join_timeout: setup.patience,
            leave_timeout: setup.patience,
            seed: random,
            ..Config::new(id, &name, &fabric.address())
        };
        let ended = Arc::new(Mutex::new(None));
        let recorder = Recorder { id, journal: journal.clone(), ended: Arc::clone(&ended) };
        let machine = Places::new(journal.histories.clone(), setup.ballast);
        let cluster = ClusterNode::new(&rpc, config, machine, Arc::new(recorder));
        rpc.start().expect("a simulated fabric starts");
        cluster.start(random | 1);
        let journal = journal.clone();
        let (crashed, paused, leaving) = (false, false, false);
        Self { id, name, fabric, cluster, rpc, journal, ended, crashed, paused, leaving }
    }

    pub fn fabric_config(id: NodeId) -> FabricConfig {
        FabricConfig::new(id)
    }

    /// Why it is no member any more, if so.
    pub fn end(&self) -> Option<Ended> {
        lock(&self.ended).clone()
    }

    /// Running, and a member or on its way to be one.
    pub fn is_live(&self) -> bool {
        !self.crashed && self.end().is_none()
    }

    /// Whether it believes at this moment that it may act.
    pub fn may_act(&self) -> bool {
        self.is_live() && self.cluster.may_act()
    }

    /// Proposes a command. Its end is written into the journal.
    pub fn propose(&self, command: u64, timeout: Duration) {
        let journal = self.journal.clone();
        let at = {
            let mut calls = lock(&journal.calls);
            let called = journal.moment.fetch_add(1, Ordering::Relaxed);
            calls.push(Call { node: self.id, command, called, ended: None });
            calls.len() - 1
        };
        self.cluster.propose(command.to_le_bytes().to_vec(), timeout, move |decision| {
            let answer = decision.map(|outcome| match outcome {
                Outcome::Value(bytes) => bytes.try_into().map_or(0, u64::from_le_bytes),
                _ => 0,
            });
            let moment = journal.moment.fetch_add(1, Ordering::Relaxed);
            if let Some(call) = lock(&journal.calls).get_mut(at) {
                call.ended = Some((moment, answer));
            }
        });
    }

    /// Lets go of what holds the node in a circle.
    pub fn dismantle(&self) {
        self.rpc.stop();
    }
}
