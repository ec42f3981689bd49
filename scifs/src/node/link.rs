//! The way to one other member: at once, or through a queue, or not at all in this epoch.
//!
//! ```text
//!   Closed ──up, queue sent──▶ Open ──full──▶ Closed (connected) ──writable, queue sent──▶ Open
//!      ▲                        │
//!      └────────down────────────┘   what was sent or queued may be lost: `lost_below` = this epoch + 1
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scios::memory::RegionSlice;
use scios::rpc::codec::{Message, Writer};
use scios::rpc::{CallError, Rpc};
use scios::{Nanos, NodeId};

use super::limits::LINK_QUEUE_BYTES_MAX;
use super::peers::is_full;

pub(super) struct Link {
    pub(super) node: NodeId,
    pub(super) address: String,
    /// Connected, and nothing is queued. Written under the lock of `state`.
    open: AtomicBool,
    /// Messages of epochs below this are dropped: others were lost before them.
    lost_below: AtomicU64,
    /// Something was sent or received since it came up.
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    queue: VecDeque<Queued>,
    bytes: usize,
    dialed_at: Option<Nanos>,
    reported_at: Option<Nanos>,
}

#[derive(Debug)]
struct Queued {
    epoch: u64,
    kind: u16,
    bytes: Vec<u8>,
}

impl Link {
    pub(super) fn new(node: NodeId, address: &str) -> Self {
        Self {
            node,
            address: address.into(),
            open: AtomicBool::new(false),
            lost_below: AtomicU64::new(0),
            used: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(super) fn has_lost(&self, epoch: u64) -> bool {
        epoch < self.lost_below.load(Ordering::Acquire)
    }

    pub(super) fn note_received(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Release);
        }
    }

    /// Sends a message of epoch `of`, which isn't fenced. `epoch` is the newest that this node knows. True when the member has to be
    /// connected to.
    pub(super) fn send<M: Message>(
        &self,
        rpc: &Rpc,
        of: u64,
        message: &M,
        body: &[RegionSlice],
        epoch: u64,
    ) -> bool {
        if self.has_lost(of) {
            return false;
        }
        if self.open.load(Ordering::Acquire) {
            self.note_received();
            match rpc.one_way(self.node, message, body) {
                Ok(()) => return false,
                Err(error) if is_full(&error) => {}
                Err(error) => {
                    self.lose(&error, epoch);
                    return false;
                }
            }
        }
        self.send_or_queue(rpc, of, message, body, epoch)
    }

    fn send_or_queue<M: Message>(
        &self,
        rpc: &Rpc,
        of: u64,
        message: &M,
        body: &[RegionSlice],
        epoch: u64,
    ) -> bool {
        let mut writer = Writer::new();
        message.encode(&mut writer);
        let Ok(head) = writer.finish() else {
            tracing::error!(kind = M::KIND, "a message is longer than its limits and was not sent");
            return false;
        };
        let mut bytes = head.to_vec();
        for slice in body {
            bytes.extend(slice.to_vec());
        }
        let mut state = self.state.lock();
        if state.bytes + bytes.len() > LINK_QUEUE_BYTES_MAX {
            drop(state);
            self.lose(&CallError::Full, epoch);
            return false;
        }
        state.bytes += bytes.len();
        state.queue.push_back(Queued { epoch: of, kind: M::KIND, bytes });
        self.open.store(false, Ordering::Release);
        if state.connected {
            self.drain_locked(&mut state, rpc, epoch);
        }
        !state.connected && state.dialed_at.is_none()
    }

    pub(super) fn up(&self, rpc: &Rpc) {
        let mut state = self.state.lock();
        state.connected = true;
        state.dialed_at = None;
        self.drain_locked(&mut state, rpc, 0);
    }

    /// What was under way is lost, if anything was.
    pub(super) fn down(&self, epoch: u64) {
        let mut state = self.state.lock();
        state.connected = false;
        self.open.store(false, Ordering::Release);
        if self.used.swap(false, Ordering::AcqRel) {
            self.lose_locked(&mut state, epoch);
        }
    }

    pub(super) fn drain(&self, rpc: &Rpc, epoch: u64) {
        if self.open.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        if state.connected {
            self.drain_locked(&mut state, rpc, epoch);
        }
    }

    /// Sends what waits, in order; opens the direct way when nothing is left.
    fn drain_locked(&self, state: &mut State, rpc: &Rpc, epoch: u64) {
        while let Some(queued) = state.queue.pop_front() {
            let Queued { epoch: of, kind, bytes } = &queued;
            if !self.has_lost(*of) {
                self.note_received();
                match rpc.one_way_bytes(self.node, *kind, false, bytes, &[]) {
                    Ok(()) => {}
                    Err(error) if is_full(&error) => {
                        state.queue.push_front(queued);
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(node = %self.node, %error, "a member's messages are lost");
                        self.lose_locked(state, epoch.max(*of));
                        return;
                    }
                }
            }
            state.bytes = state.bytes.saturating_sub(bytes.len());
        }
        self.open.store(true, Ordering::Release);
    }

    fn lose(&self, why: &CallError, epoch: u64) {
        tracing::warn!(node = %self.node, %why, "messages to a member are lost; the membership will raise its epoch");
        self.lose_locked(&mut self.state.lock(), epoch);
    }

    fn lose_locked(&self, state: &mut State, epoch: u64) {
        state.queue.clear();
        state.bytes = 0;
        self.lost_below.fetch_max(epoch + 1, Ordering::AcqRel);
    }

    /// Whether to connect now, because messages wait for it or somebody `asks`.
    pub(super) fn should_dial(&self, now: Nanos, pause: Duration, asks: bool) -> bool {
        let mut state = self.state.lock();
        let wanted = asks || !state.queue.is_empty() || self.lost_below.load(Ordering::Acquire) > 0;
        let due = state.dialed_at.is_none_or(|at| at + pause <= now);
        let dial = !state.connected && wanted && due;
        if dial {
            state.dialed_at = Some(now);
        }
        dial
    }

    /// Whether messages of this epoch were lost to a member that is connected, so lives.
    pub(super) fn should_report(&self, epoch: u64, now: Nanos, pause: Duration) -> bool {
        if !self.has_lost(epoch) {
            return false;
        }
        let mut state = self.state.lock();
        let report = state.connected && state.reported_at.is_none_or(|at| at + pause <= now);
        if report {
            state.reported_at = Some(now);
        }
        report
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("node", &self.node).field("open", &self.open).finish_non_exhaustive()
    }
}
