//! What lies on top of one membership: its names, pages, locks and waiting, and how they reach the cluster.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use scios::cluster::{Machine, View};
use scios::memory::{Memory, MemoryError};
use scios::metrics::Registry;
use scios::node::{AnyCluster, LifeParts};
use scios::rpc::{Rpc, Service};

use super::post::{LOCK_KINDS, Mail, SYNC_KINDS};
use crate::coherence::{self, Epoch, MemberNo};
use crate::fuse::files::Present;
use crate::locks::Locks;
use crate::names::{Founding, NamesClient, Watch};
use crate::node::{Files, KernelCache, Membership, NodeMember, NodeView, Pages, PagesConfig, Programs};
use crate::sync::Waits;

/// The parts of one membership, from before its endpoint starts to its end.
pub(super) struct LifeAbove {
    names: Arc<NamesClient>,
    pages: Arc<Pages>,
    memory: Arc<Memory>,
    link: Arc<ToCluster>,
    locks_mail: Arc<Mail<Locks>>,
    waits_mail: Arc<Mail<Waits>>,
    registry: Arc<Registry>,
    me: scios::NodeId,
    present: OnceLock<Arc<Present>>,
}

impl LifeAbove {
    /// Registers everything with the endpoint.
    pub(super) fn begin(
        parts: &LifeParts<'_>,
        files: &Arc<Files>,
        (cache, programs): (Arc<dyn KernelCache>, Arc<dyn Programs>),
        watch: Arc<dyn Watch>,
        (founding, patience): (&Founding, Duration),
    ) -> Result<Self, MemoryError> {
        let link = Arc::new(ToCluster::default());
        link.rpc.get_or_init(|| Arc::clone(parts.rpc));
        let membership = Arc::clone(&link) as Arc<dyn Membership>;
        let config = PagesConfig::new(parts.rpc, files, cache, membership);
        let pages = Pages::new(PagesConfig { programs, stays_awake: true, ..config })?;
        pages.show(parts.registry);
        let names = NamesClient::new(parts.rpc, founding, patience, watch);
        let (locks_mail, waits_mail) = (Mail::new(&pages, &link), Mail::new(&pages, &link));
        parts.rpc.serve(LOCK_KINDS, Arc::clone(&locks_mail) as Arc<dyn Service>);
        parts.rpc.serve(SYNC_KINDS, Arc::clone(&waits_mail) as Arc<dyn Service>);
        Ok(Self {
            names,
            pages,
            memory: Arc::clone(parts.memory),
            link,
            locks_mail,
            waits_mail,
            registry: Arc::clone(parts.registry),
            me: parts.id,
            present: OnceLock::new(),
        })
    }

    pub(super) fn machine(&self) -> Box<dyn Machine> {
        self.names.machine()
    }

    /// Returns what requests of the mount are answered from.
    pub(super) fn set_cluster(&self, cluster: &Arc<AnyCluster>) -> Arc<Present> {
        self.names.set_cluster(cluster);
        if self.link.cluster.set(Arc::clone(cluster)).is_err() {
            tracing::error!("a membership was given its cluster twice");
        }
        let present = || Present {
            names: Arc::clone(&self.names),
            pages: Arc::clone(&self.pages),
            locks: OnceLock::new(),
            waits: OnceLock::new(),
            cluster: Arc::clone(cluster),
            memory: Arc::clone(&self.memory),
        };
        Arc::clone(self.present.get_or_init(|| Arc::new(present())))
    }

    pub(super) fn view(&self, view: &View) {
        for member in view.members() {
            self.pages.free_memory().begin(member.number, member.memory);
        }
        let view = node_view(view);
        self.pages.view(&view);
        let Some(me) = view.members.iter().find(|member| member.node == self.me) else { return };
        let Some(present) = self.present.get() else { return };
        let me = MemberNo(me.number);
        match present.locks.get() {
            Some(locks) => locks.view(to_engine(&view)),
            None => self.begin_locks(present, me, &view),
        }
        match present.waits.get() {
            Some(waits) => waits.view(to_engine(&view)),
            None => self.begin_waits(present, me, &view),
        }
        self.locks_mail.hear_strangers();
        self.waits_mail.hear_strangers();
    }

    fn begin_locks(&self, present: &Present, me: MemberNo, view: &NodeView) {
        let post = Arc::clone(&self.locks_mail);
        let locks = present.locks.get_or_init(|| Locks::new(me, to_engine(view), post));
        self.locks_mail.set(locks);
    }

    fn begin_waits(&self, present: &Present, me: MemberNo, view: &NodeView) {
        let post = Arc::clone(&self.waits_mail);
        let waits = present.waits.get_or_init(|| Waits::new(me, to_engine(view), post, &self.registry));
        self.waits_mail.set(waits);
    }

    pub(super) fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }

    /// Gives what this node holds to others. Returns how many departures the cluster had seen when all of it was there.
    pub(super) fn hand_over(&self) -> Option<u64> {
        self.pages.hand_over()?.checked_sub(EPOCH_FIRST)
    }

    /// Whoever waits for something of this membership gets an error.
    pub(super) fn end(&self) {
        self.pages.end();
        self.names.end();
        if let Some(locks) = self.present.get().and_then(|present| present.locks.get()) {
            locks.end();
        }
        if let Some(waits) = self.present.get().and_then(|present| present.waits.get()) {
            waits.end();
        }
    }
}

/// Engines place registrars on members that joined before the epoch, so there must have been one before the first.
const EPOCH_FIRST: u64 = 1;

/// The number of the member that founded the cluster, who was there before all epochs.
const FOUNDER: u32 = 1;

fn node_view(view: &View) -> NodeView {
    let members = view.members().map(|member| NodeMember {
        number: member.number,
        node: member.id,
        address: member.address.clone(),
        joined: if member.number == FOUNDER { 0 } else { member.joined + EPOCH_FIRST },
    });
    let members = members.collect();
    NodeView { departures: view.departures + EPOCH_FIRST, members, handed_over: view.handed_over }
}

fn to_engine(view: &NodeView) -> coherence::View {
    let member =
        |member: &NodeMember| coherence::Member { no: MemberNo(member.number), joined: Epoch(member.joined) };
    let mut members: Vec<_> = view.members.iter().map(member).collect();
    members.sort_by_key(|member| member.no);
    coherence::View { epoch: Epoch(view.departures), members, handed_over: view.handed_over.map(MemberNo) }
}

/// The cluster as pages know it; there is none until the endpoint has been made.
#[derive(Default)]
pub(super) struct ToCluster {
    cluster: OnceLock<Arc<AnyCluster>>,
    rpc: OnceLock<Arc<Rpc>>,
}

impl ToCluster {
    pub(super) fn disconnect(&self, number: MemberNo) {
        let Some(cluster) = self.cluster.get() else { return };
        let view = cluster.view();
        let member = view.members().find(|member| member.number == number.0);
        if let (Some(member), Some(rpc)) = (member, self.rpc.get()) {
            rpc.fabric().disconnect(member.id);
        }
    }
}

impl Membership for ToCluster {
    fn may_act(&self) -> bool {
        self.cluster.get().is_some_and(|cluster| cluster.may_act())
    }

    fn report_break(&self, departures: u64) {
        if let Some(cluster) = self.cluster.get() {
            cluster.report_break(departures.saturating_sub(EPOCH_FIRST));
        }
    }

    fn rejoin(&self, why: &str) {
        tracing::error!(why, "this node gives its membership up, to join again as a new member");
        if let Some(cluster) = self.cluster.get() {
            cluster.give_up(why);
        }
    }
}
