//! One node at work: its fabric, its RPC endpoint, its memory and its membership, put together and kept going.
//!
//! A [`Node`] outlives what it is made of: a membership that the cluster has ended (the node was silent for too long and
//! was declared dead) is taken down as a whole and a new one begins, with a new [`NodeId`], at the same address. Everything
//! that belongs to one membership is a [`Life`].

mod config;
mod life;
mod ping;
mod status;
mod upper;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

pub use config::{FabricKind, NodeConfig};
pub use life::Life;
pub use ping::{PING_KINDS, RoundTrips};
pub use status::{MemberStatus, NodeStatus};
pub use upper::{AnyCluster, LifeParts, NoUpper, Upper};

use life::Ground;

use crate::cluster::{Ended, JoinError};
use crate::limits::{DESCRIPTORS_MAX, REJOIN_PAUSE_MAX_MS};
use crate::memory::{Memory, MemoryError};
use crate::metrics::Registry;
use crate::verbs::FabricError;

#[derive(Debug, Error)]
pub enum NodeError {
    #[error(transparent)]
    Fabric(#[from] FabricError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("a name has 1 to {max} bytes, and {name:?} has {}; choose another name=", name.len())]
    Name { name: String, max: usize },
    #[error("the kernel gave no random bytes: {0}")]
    Random(std::io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("this node was let go before it became a member: {0}")]
    Ended(String),
}

/// A running node. Dropped, it vanishes without a word, as if it had crashed; [`Node::leave`] is the orderly way.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What the keeper and the users of a node see.
#[derive(Debug)]
struct Shared {
    config: NodeConfig,
    ground: Ground,
    life: RwLock<Arc<Life>>,
    to_keeper: Sender<Notice>,
}

/// What the keeper is told. `life` tells news of the present membership from late news of an earlier one.
#[derive(Debug)]
enum Notice {
    Ended { life: u64, how: Ended },
    Stop,
}

impl Node {
    /// Starts the node and waits until it is a member: of the cluster it joins or, without `join`, of its own.
    /// `upper` is what runs on top of it.
    pub fn start(config: NodeConfig, upper: Arc<dyn Upper>) -> Result<Self, NodeError> {
        config.check()?;
        raise_descriptor_limit();
        let memory = Memory::new(config.memory_bytes)?;
        let registry = Registry::new();
        memory.show(&registry);
        let (to_keeper, notices) = channel();
        let ground = Ground { memory, registry, upper };
        let life = Life::begin(&config, &ground, 0, to_keeper.clone())?;
        if let Err(error) = life.wait_until_member() {
            life.end();
            return Err(error);
        }
        let config = NodeConfig { listen: Some(life.address()), ..config };
        let shared = Arc::new(Shared { config, ground, life: RwLock::new(life), to_keeper });
        let keeper = keep_in_thread(&shared, notices)?;
        Ok(Self { shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// The membership as it is now. It changes when the cluster has ended the one before.
    pub fn life(&self) -> Arc<Life> {
        Arc::clone(&self.shared.life.read())
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.shared.ground.memory
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.ground.registry
    }

    pub fn config(&self) -> &NodeConfig {
        &self.shared.config
    }

    pub fn status(&self) -> NodeStatus {
        status::of(&self.shared.config, &self.life(), &self.shared.ground.memory)
    }

    /// Leaves the cluster in an orderly way and stops. False when nobody could be told in time.
    pub fn leave(&self) -> bool {
        let handed_over_at = self.shared.ground.upper.before_leave();
        let life = self.life();
        let orderly = life.leave_and_wait(handed_over_at);
        self.stop();
        orderly
    }

    fn stop(&self) {
        // The keeper is gone already when this is the second call.
        let _ = self.shared.to_keeper.send(Notice::Stop);
        if let Some(keeper) = self.keeper.lock().take()
            && keeper.join().is_err()
        {
            tracing::error!("the node's keeper had panicked");
        }
        self.life().end();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Every segment and every connection takes a descriptor, and the usual limit of 1,024 is there for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_MAX, |maximum| maximum.min(DESCRIPTORS_MAX));
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::warn!(%error, "cannot raise the limit on open files (ulimit -n)");
    }
}

fn keep_in_thread(shared: &Arc<Shared>, notices: Receiver<Notice>) -> Result<JoinHandle<()>, NodeError> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("keeper".into())
        .spawn(move || keep(&shared, &notices))
        .map_err(NodeError::Thread)
}

/// Begins a new membership whenever the cluster has ended the present one, until the node is stopped or has left.
fn keep(shared: &Shared, notices: &Receiver<Notice>) {
    while let Ok(notice) = notices.recv() {
        match notice {
            Notice::Stop => return,
            Notice::Ended { how: Ended::Left { .. }, .. } => {}
            Notice::Ended { life, how } => {
                let ended = Arc::clone(&shared.life.read());
                if ended.number() != life {
                    continue;
                }
                tracing::warn!(?how, "the cluster has ended this node's membership; joining again");
                ended.end();
                if !rejoin(shared, &ended, notices) {
                    return;
                }
            }
        }
    }
}

/// Tries again, with growing pauses, until the node is a member or is told to stop (then false).
fn rejoin(shared: &Shared, ended: &Life, notices: &Receiver<Notice>) -> bool {
    let mut config = shared.config.clone();
    config.join = ended.others();
    config.join.extend(shared.config.join.iter().cloned());
    let mut pause_ms = REJOIN_PAUSE_MAX_MS / 16;
    for number in ended.number() + 1.. {
        let begun = Life::begin(&config, &shared.ground, number, shared.to_keeper.clone());
        match begun
            .and_then(|life| life.wait_until_member().map(|()| Arc::clone(&life)).inspect_err(|_| life.end()))
        {
            Ok(life) => {
                *shared.life.write() = life;
                return true;
            }
            Err(error) => tracing::warn!(%error, "could not join again; trying once more"),
        }
        // News of lives that never became the present one are of no use.
        if let Ok(Notice::Stop) = notices.recv_timeout(Duration::from_millis(pause_ms)) {
            return false;
        }
        pause_ms = (pause_ms * 2).min(REJOIN_PAUSE_MAX_MS);
    }
    false
}
