//! One node's part in the consensus: the library's state machine, made safe to feed and deterministic.
//!
//! The library has three habits that this file takes away from its users:
//! - it panics on messages that no correct member sends: [`guard`] refuses those, and what still panics is contained
//!   and reported as [`Broken`], after which the node gives up this identity;
//! - it draws election timeouts from the thread's generator: they are replaced by draws from the node's own seed;
//! - it sends heartbeats to every learner: those that have nothing to learn are left alone.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft::eraftpb::{
    ConfChangeTransition, ConfChangeV2, ConfState, EntryType, Message, MessageType, Snapshot,
};
use raft::{Config, ProgressState, RawNode, StateRole};
use thiserror::Error;

use super::changes::{Change, decode_changes, put_change, single};
use super::guard::{self, Nonsense};
use super::log::Log;
use super::timing::{ELECTION_TICKS, HEARTBEAT_TICKS};
use crate::NodeId;
use crate::limits::{
    APPEND_BYTES_MAX, APPENDS_IN_FLIGHT_MAX, LOG_ENTRIES_KEPT, LOG_ENTRIES_MAX, LOG_PATIENCE,
    LOG_STATE_BYTES_PER_ENTRY, UNCOMMITTED_BYTES_MAX,
};
use crate::rpc::codec::Writer;

/// The library found itself in a state that it thinks impossible. This node's part in the cluster has ended.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the consensus library gave up: {0}")]
pub(super) struct Broken(pub(super) String);

/// What the log tells the replicated state.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Restore { data: &'a [u8], index: u64 },
    Apply { index: u64, data: &'a [u8] },
}

pub(super) struct Consensus {
    node: RawNode<Log>,
    seed: u64,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consensus").field("id", &self.node.raft.id).field("term", &self.term()).finish()
    }
}

impl Consensus {
    /// The only voter of a new cluster, with the replicated state it begins with.
    pub(super) fn found(me: NodeId, seed: u64, state: Vec<u8>) -> Result<Self, Broken> {
        let mut snapshot = Snapshot { data: state.into(), ..Snapshot::default() };
        snapshot.mut_metadata().index = 1;
        snapshot.mut_metadata().term = 1;
        snapshot.mut_metadata().mut_conf_state().voters = vec![me.get()];
        let mut consensus = Self::new(me, seed, Log::founded(snapshot), 1)?;
        contained(|| consensus.node.campaign()).and_then(|r| r.map_err(broken))?;
        Ok(consensus)
    }

    /// A node that the cluster has accepted; the leader will find it and send a snapshot.
    pub(super) fn join(me: NodeId, seed: u64) -> Result<Self, Broken> {
        Self::new(me, seed, Log::empty(), 0)
    }

    fn new(me: NodeId, seed: u64, log: Log, applied: u64) -> Result<Self, Broken> {
        let config = Config {
            id: me.get(),
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied,
            max_size_per_msg: APPEND_BYTES_MAX as u64,
            max_inflight_msgs: APPENDS_IN_FLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = contained(|| RawNode::new(&config, log, &logger)).and_then(|r| r.map_err(broken))?;
        let mut consensus = Self { node, seed };
        consensus.choose_timeout();
        Ok(consensus)
    }

    pub(super) fn term(&self) -> u64 {
        self.node.raft.term
    }

    pub(super) fn leader(&self) -> Option<NodeId> {
        NodeId::new(self.node.raft.leader_id)
    }

    pub(super) fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether this node leads and has applied everything that earlier leaders may have committed.
    pub(super) fn leads_informed(&self) -> bool {
        self.leads() && self.node.raft.apply_to_current_term()
    }

    pub(super) fn applied(&self) -> u64 {
        self.node.raft.raft_log.applied
    }

    pub(super) fn conf(&self) -> &ConfState {
        self.node.store().conf()
    }

    pub(super) fn votes(&self, id: NodeId) -> bool {
        self.conf().voters.contains(&id.get()) || self.conf().voters_outgoing.contains(&id.get())
    }

    /// Whether the voters are changing, or may be: nothing that was decided about them is certain yet.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_joint() || self.is_changing()
    }

    /// Whether these nodes together decide, in the present configuration.
    pub(super) fn is_quorum(&self, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let nodes = nodes.into_iter().map(NodeId::get).collect();
        self.node.raft.prs().has_quorum(&nodes)
    }

    /// Whether a member has nearly all of the log.
    pub(super) fn is_close(&self, id: NodeId) -> bool {
        let last = self.node.raft.raft_log.last_index();
        self.node
            .raft
            .prs()
            .get(id.get())
            .is_some_and(|pr| pr.matched > 0 && pr.matched + LOG_ENTRIES_KEPT >= last)
    }

    /// How much of the log a member has.
    pub(super) fn matched(&self, id: NodeId) -> u64 {
        self.node.raft.prs().get(id.get()).map_or(0, |pr| pr.matched)
    }

    /// One tick. `held`: this node has promised not to stand for election now.
    pub(super) fn tick(&mut self, held: bool) -> Result<(), Broken> {
        if held && !self.leads() {
            self.node.raft.election_elapsed = 0;
        }
        contained(|| self.node.tick())?;
        self.choose_timeout();
        Ok(())
    }

    /// Takes a peer's message, unless it is one that no correct member sends.
    pub(super) fn step(&mut self, message: Message) -> Result<Result<(), Nonsense>, Broken> {
        if let Err(nonsense) = guard::check(&self.node, &message) {
            return Ok(Err(nonsense));
        }
        // An error means that the library ignored the message, which it may.
        let _ignored = contained(|| self.node.step(message))?;
        self.choose_timeout();
        Ok(Ok(()))
    }

    /// Appends a command, if this node leads and has room. False otherwise: try again later.
    pub(super) fn propose(&mut self, data: Vec<u8>) -> Result<bool, Broken> {
        if !self.leads() {
            return Ok(false);
        }
        contained(|| self.node.propose(Vec::new(), data)).map(|r| r.is_ok())
    }

    /// Whether a change of the configuration is on its way, so that another one has to wait.
    pub(super) fn is_changing(&self) -> bool {
        self.node.raft.has_pending_conf()
    }

    pub(super) fn is_joint(&self) -> bool {
        !self.conf().voters_outgoing.is_empty()
    }

    /// Proposes a change of the configuration; none of it leaves a joint one.
    pub(super) fn propose_change(&mut self, changes: &[Change]) -> Result<bool, Broken> {
        let voters = changes.iter().any(|c| matches!(c, Change::Vote(_)) || self.touches_voter(*c));
        let mut change = ConfChangeV2::default();
        if voters || changes.len() > 1 {
            change.set_transition(ConfChangeTransition::Explicit);
        }
        change.changes = changes.iter().map(single).collect::<Vec<_>>().into();
        let mut to = Writer::new();
        to.list("changes of the configuration", changes, usize::MAX, put_change);
        let context = to.finish().map_err(broken)?.to_vec();
        contained(|| self.node.propose_conf_change(context, change)).map(|r| r.is_ok())
    }

    /// Whether a change takes somebody's vote.
    pub(super) fn touches_voter(&self, change: Change) -> bool {
        let (Change::Vote(id) | Change::Learn(id) | Change::Remove(id)) = change;
        self.conf().voters.contains(&id.get())
    }

    /// Asks another voter to take over at once.
    pub(super) fn transfer(&mut self, to: NodeId) -> Result<(), Broken> {
        contained(|| self.node.transfer_leader(to.get()))
    }

    /// What was sent to this member may be lost.
    pub(super) fn lost(&mut self, id: NodeId) -> Result<(), Broken> {
        contained(|| {
            self.node.report_unreachable(id.get());
            self.node.report_snapshot(id.get(), raft::SnapshotStatus::Failure);
        })
    }

    /// Carries out what the library has ready: keeps entries, applies commands, and gives out messages.
    pub(super) fn pump(
        &mut self,
        mut apply: impl FnMut(Step<'_>),
        mut send: impl FnMut(NodeId, Message),
    ) -> Result<(), Broken> {
        while self.node.has_ready() {
            contained(|| self.pump_once(&mut apply, &mut send)).and_then(|r| r)?;
        }
        self.choose_timeout();
        Ok(())
    }

    fn pump_once(
        &mut self,
        apply: &mut impl FnMut(Step<'_>),
        send: &mut impl FnMut(NodeId, Message),
    ) -> Result<(), Broken> {
        let mut ready = self.node.ready();
        self.send_all(ready.take_messages(), send);
        if !ready.snapshot().is_empty() {
            let snapshot = ready.snapshot().clone();
            let index = snapshot.get_metadata().index;
            apply(Step::Restore { data: &snapshot.data, index });
            self.node.mut_store().install(snapshot);
        }
        self.node.mut_store().append(ready.take_entries());
        if let Some(hard) = ready.hs() {
            self.node.mut_store().set_hard_state(hard.clone());
        }
        self.send_all(ready.take_persisted_messages(), send);
        self.apply_all(ready.take_committed_entries(), apply)?;
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.node.mut_store().set_commit(commit);
        }
        self.send_all(light.take_messages(), send);
        self.apply_all(light.take_committed_entries(), apply)?;
        self.node.advance_apply();
        Ok(())
    }

    fn send_all(&self, messages: Vec<Message>, send: &mut impl FnMut(NodeId, Message)) {
        for message in messages {
            if let Some(to) = NodeId::new(message.to)
                && !self.is_idle_heartbeat(&message)
            {
                send(to, message);
            }
        }
    }

    /// A learner that has everything needs no heartbeat: it doesn't vote, and its lease tells it that all is well.
    fn is_idle_heartbeat(&self, message: &Message) -> bool {
        let raft = &self.node.raft;
        message.get_msg_type() == MessageType::MsgHeartbeat
            && raft.prs().conf().learners().contains(&message.to)
            && raft.prs().get(message.to).is_some_and(|pr| {
                pr.matched == raft.raft_log.last_index() && pr.committed_index >= raft.raft_log.committed
            })
    }

    fn apply_all(
        &mut self,
        entries: Vec<raft::eraftpb::Entry>,
        apply: &mut impl FnMut(Step<'_>),
    ) -> Result<(), Broken> {
        for entry in entries {
            match entry.get_entry_type() {
                // A new leader's first entry is empty, and so is a change that the library refused.
                EntryType::EntryNormal if entry.data.is_empty() => {}
                EntryType::EntryNormal => apply(Step::Apply { index: entry.index, data: &entry.data }),
                _ => self.change(&entry.context)?,
            }
        }
        Ok(())
    }

    fn change(&mut self, context: &[u8]) -> Result<(), Broken> {
        let changes = decode_changes(context).map_err(broken)?;
        let mut change = ConfChangeV2::default();
        if changes.len() > 1 || changes.iter().any(|c| matches!(c, Change::Vote(_)) || self.touches_voter(*c))
        {
            change.set_transition(ConfChangeTransition::Explicit);
        }
        change.changes = changes.iter().map(single).collect::<Vec<_>>().into();
        let conf = self.node.apply_conf_change(&change).map_err(broken)?;
        self.node.mut_store().set_conf(conf);
        // The library keeps a leader in office that has been voted out, and asserts that there is none.
        if self.leads() && !self.node.raft.promotable() {
            let term = self.term();
            self.node.raft.become_follower(term, raft::INVALID_ID);
        }
        Ok(())
    }

    /// The member that waits for a snapshot, which has to be made with [`Self::keep_snapshot`].
    pub(super) fn snapshot_wanted(&self) -> Option<u64> {
        self.node.store().snapshot_wanted()
    }

    /// Whether this member was sent the snapshot of `index` and hasn't said yet that it has it.
    pub(super) fn waits_for_snapshot(&self, id: NodeId, index: u64) -> bool {
        self.leads()
            && self
                .node
                .raft
                .prs()
                .get(id.get())
                .is_some_and(|pr| pr.state == ProgressState::Snapshot && pr.pending_snapshot == index)
    }

    /// Whether there is much to cut off the log.
    pub(super) fn is_long(&self, up: &BTreeSet<NodeId>) -> bool {
        let log = self.node.store();
        let enough = self.enough();
        log.len() > enough && self.cut_at(up) + LOG_ENTRIES_KEPT >= log.base() + enough as u64
    }

    /// How many entries are worth a new snapshot.
    fn enough(&self) -> usize {
        LOG_ENTRIES_MAX.max(self.node.store().snapshot_bytes() / LOG_STATE_BYTES_PER_ENTRY)
    }

    /// Up to where the log may be cut: what connected members still need is kept for them, within reason.
    fn cut_at(&self, up: &BTreeSet<NodeId>) -> u64 {
        let at = self.applied().saturating_sub(LOG_ENTRIES_KEPT);
        if !self.leads() || self.node.store().len() > self.enough() * LOG_PATIENCE {
            return at;
        }
        let prs = self
            .node
            .raft
            .prs()
            .iter()
            .filter(|(id, _)| NodeId::new(**id).is_some_and(|id| up.contains(&id)));
        let have = prs.map(|(_, pr)| pr.matched.max(pr.pending_snapshot)).filter(|have| *have > 0);
        have.min().map_or(at, |have| at.min(have))
    }

    /// Keeps `data`, the state as of the last applied entry, and cuts off the log behind it.
    pub(super) fn keep_snapshot(&mut self, data: Vec<u8>, up: &BTreeSet<NodeId>) -> Result<(), Broken> {
        let (applied, wanted) = (self.applied(), self.snapshot_wanted());
        let (long, cut_at) = (self.is_long(up), self.cut_at(up));
        let log = self.node.mut_store();
        log.set_snapshot(applied, data);
        if long {
            log.cut(cut_at);
        }
        match wanted.filter(|to| self.leads() && self.node.raft.prs().get(*to).is_some()) {
            Some(to) => contained(|| self.node.raft.send_append(to)),
            None => Ok(()),
        }
    }

    /// The library's draw, replaced by one that the seed decides. A new term draws anew, so ties end.
    fn choose_timeout(&mut self) {
        let raft = &mut self.node.raft;
        let draw = mix(self.seed ^ mix(raft.term)) as usize % ELECTION_TICKS;
        raft.set_randomized_election_timeout(ELECTION_TICKS + draw);
    }
}

/// One round of splitmix64: spreads a seed over all bits.
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Broken(error.to_string())
}

/// Runs the library; a panic in it ends this node's part in the cluster and nothing else.
fn contained<R>(run: impl FnOnce() -> R) -> Result<R, Broken> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        broken(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a reason"))
    })
}
