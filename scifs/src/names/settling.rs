//! How far this node is with the log: what it has applied, and which consequences are still to come.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use scios::rpc::Responder;

use super::codec::Settled;

/// Whoever waits for an index waits here: threads of this node, and requests of others.
#[derive(Debug, Default)]
pub(super) struct Settling {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    applied: u64,
    /// How many events of which index are not done.
    pending: BTreeMap<u64, u32>,
    waiting: Vec<(u64, Responder)>,
    ended: bool,
}

impl State {
    fn is_settled(&self, index: u64) -> bool {
        self.applied >= index && self.pending.first_key_value().is_none_or(|(first, _)| *first > index)
    }
}

impl Settling {
    /// An event is about to be told.
    pub(super) fn begin(&self, index: u64) {
        *self.state.lock().pending.entry(index).or_default() += 1;
    }

    /// All events up to here have begun.
    pub(super) fn applied(&self, index: u64) {
        let mut state = self.state.lock();
        state.applied = state.applied.max(index);
        drop(state);
        self.changed.notify_all();
    }

    /// One event of this index is done. Doesn't answer anybody: `answer` does, where nothing is locked.
    pub(super) fn done(&self, index: u64) {
        let mut state = self.state.lock();
        if let Some(left) = state.pending.get_mut(&index) {
            *left -= 1;
            if *left == 0 {
                state.pending.remove(&index);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Answers the requests that have waited long enough. Not while the cluster is locked: it sends.
    pub(super) fn answer(&self) {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(index, _)| state.is_settled(*index));
        state.waiting = rest;
        state.waiting.retain(|(_, responder)| responder.is_wanted());
        drop(state);
        for (_, responder) in ready {
            let peer = responder.peer();
            if let Err(why) = responder.reply(&Settled, &[]) {
                tracing::debug!(%peer, "could not say that the names are settled: {why}");
            }
        }
    }

    /// Keeps a request until its index is settled.
    pub(super) fn keep(&self, index: u64, responder: Responder) {
        self.state.lock().waiting.push((index, responder));
        self.answer();
    }

    /// Waits until this node has settled. False when the deadline came first, or the end.
    pub(super) fn wait(&self, index: u64, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let unsettled = |state: &mut State| !state.ended && !state.is_settled(index);
        let _ = self.changed.wait_while_until(&mut state, unsettled, deadline);
        state.is_settled(index)
    }

    /// Nothing is applied any more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.changed.notify_all();
    }
}
