//! What runs on top of a node, and what it is told about the memberships that come and go beneath it.

use std::fmt;
use std::sync::Arc;

use crate::NodeId;
use crate::cluster::{ClusterNode, Ended, Machine, NoMachine, Standing, View};
use crate::memory::Memory;
use crate::metrics::Registry;
use crate::rpc::Rpc;

/// A cluster that replicates whatever the layers above plug in.
pub type AnyCluster = ClusterNode<Box<dyn Machine>>;

/// What one membership is made of while it is put together.
pub struct LifeParts<'a> {
    /// Counts this node's memberships from 0. Late news of an earlier one carries the earlier number.
    pub number: u64,
    pub id: NodeId,
    /// Not started yet: nothing arrives before everybody has registered.
    pub rpc: &'a Arc<Rpc>,
    pub memory: &'a Arc<Memory>,
    pub registry: &'a Arc<Registry>,
}

impl fmt::Debug for LifeParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifeParts")
            .field("number", &self.number)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The layers above a [`Node`](super::Node). For each membership: `begin`, `cluster`, then `view` and `standing` as
/// things change, and `ended` as the last, after which the next may begin.
///
/// All but `before_leave` must not wait: the later ones are called by the threads that receive from the network.
pub trait Upper: Send + Sync + 'static {
    /// A membership begins: register services and listeners with its endpoint, and give the state that is replicated.
    fn begin(&self, life: &LifeParts<'_>) -> Box<dyn Machine>;

    /// The cluster's endpoint of that membership, before anything can arrive.
    fn cluster(&self, number: u64, cluster: &Arc<AnyCluster>);

    /// The members are these from now on. Told in order; none is left out, unless a snapshot skipped it.
    fn view(&self, number: u64, view: &Arc<View>);

    fn standing(&self, number: u64, standing: Standing);

    /// The membership is over. What it waited for never comes.
    fn ended(&self, number: u64, how: &Ended);

    /// The node is about to leave: hand over what it holds. May wait, for a bounded time. Returns how many departures there were when all
    /// of it was with others; nothing if something would be lost.
    fn before_leave(&self) -> Option<u64> {
        None
    }
}

/// Nothing on top: a node that only donates and votes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoUpper;

impl Upper for NoUpper {
    fn begin(&self, _life: &LifeParts<'_>) -> Box<dyn Machine> {
        Box::new(NoMachine)
    }
    fn cluster(&self, _number: u64, _cluster: &Arc<AnyCluster>) {}
    fn view(&self, _number: u64, _view: &Arc<View>) {}
    fn standing(&self, _number: u64, _standing: Standing) {}
    fn ended(&self, _number: u64, _how: &Ended) {}
}
