//! How far this node is with the log: what it has applied, and which consequences are still to come.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use scios::rpc::Responder;

use super::codec::Settled;

/// Requests of others that wait for an index are kept here.
#[derive(Debug, Default)]
pub(super) struct Settling {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    applied: u64,
    /// How many events of which index are not done.
    pending: BTreeMap<u64, u32>,
    waiting: Vec<(u64, Responder)>,
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
    }

    /// Answers the requests that have waited long enough (and those that nobody waits for any more). Not while the cluster is locked: it sends.
    pub(super) fn answer(&self) {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(index, r)| state.is_settled(*index) || !r.is_wanted());
        state.waiting = rest;
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

    /// Nothing is applied any more.
    pub(super) fn end(&self) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        // Dropped where nothing is locked: it tells the askers.
        drop(waiting);
    }
}
