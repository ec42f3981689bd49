//! What lies on top of one membership: its names, pages and locks, and how they reach the cluster.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use scios::cluster::{Machine, View};
use scios::memory::{Memory, MemoryError};
use scios::node::{AnyCluster, LifeParts};

use crate::fuse::files::Present;
use crate::names::{Founding, NamesClient, Watch};
use crate::node::{Files, KernelCache, Membership, NodeMember, NodeView, Pages, PagesConfig};

/// The parts of one membership, from before its endpoint starts to its end.
pub(super) struct LifeAbove {
    names: Arc<NamesClient>,
    pages: Arc<Pages>,
    memory: Arc<Memory>,
    link: Arc<ToCluster>,
}

impl LifeAbove {
    /// Registers everything with the endpoint.
    pub(super) fn begin(
        parts: &LifeParts<'_>,
        files: &Arc<Files>,
        cache: Arc<dyn KernelCache>,
        watch: Arc<dyn Watch>,
        (founding, patience): (&Founding, Duration),
    ) -> Result<Self, MemoryError> {
        let link = Arc::new(ToCluster::default());
        let membership = Arc::clone(&link) as Arc<dyn Membership>;
        let pages = Pages::new(PagesConfig::new(parts.rpc, files, cache, membership))?;
        let names = NamesClient::new(parts.rpc, founding, patience, watch);
        Ok(Self { names, pages, memory: Arc::clone(parts.memory), link })
    }

    pub(super) fn machine(&self) -> Box<dyn Machine> {
        self.names.machine()
    }

    /// Returns what requests of the mount are answered from.
    pub(super) fn set_cluster(&self, cluster: &Arc<AnyCluster>) -> Arc<Present> {
        self.names.set_cluster(cluster);
        if self.link.0.set(Arc::clone(cluster)).is_err() {
            tracing::error!("a membership was given its cluster twice");
        }
        Arc::new(Present {
            names: Arc::clone(&self.names),
            pages: Arc::clone(&self.pages),
            cluster: Arc::clone(cluster),
            memory: Arc::clone(&self.memory),
        })
    }

    pub(super) fn view(&self, view: &View) {
        let members = view.members().map(|member| NodeMember {
            number: member.number,
            node: member.id,
            address: member.address.clone(),
            joined: member.joined,
        });
        self.pages.view(&NodeView { departures: view.departures, members: members.collect() });
    }

    pub(super) fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }

    /// Whoever waits for something of this membership gets an error.
    pub(super) fn end(&self) {
        self.pages.end();
        self.names.end();
    }
}

/// The cluster as pages know it; there is none until the endpoint has been made.
#[derive(Default)]
struct ToCluster(OnceLock<Arc<AnyCluster>>);

impl Membership for ToCluster {
    fn may_act(&self) -> bool {
        self.0.get().is_some_and(|cluster| cluster.may_act())
    }

    fn report_break(&self, departures: u64) {
        if let Some(cluster) = self.0.get() {
            cluster.report_break(departures);
        }
    }

    fn rejoin(&self, why: &str) {
        tracing::error!(why, "this node leaves, to join again as a new member");
        if let Some(cluster) = self.0.get() {
            cluster.leave();
        }
    }
}
