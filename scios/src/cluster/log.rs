//! The replicated log of one node, in memory: entries, the last snapshot, and what must not be forgotten while the
//! node runs. Behind the consensus library's `Storage`, so that a log on disk can take its place.
//!
//! Nothing here outlives the process, and nothing has to: a node that restarts is a new node with a new [`NodeId`],
//! so it never breaks a promise that an earlier run of it made.
//!
//! [`NodeId`]: crate::NodeId

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

#[derive(Debug)]
pub(super) struct Log {
    hard: HardState,
    /// Of the last entry that was cut off, or of the snapshot.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    conf: ConfState,
    snapshot: Snapshot,
    /// Set when the library asked for a snapshot that is newer than the one at hand, for this node.
    wanted: Cell<Option<u64>>,
}

impl Log {
    /// The log of a node that was asked to join and waits for a snapshot.
    pub(super) fn empty() -> Self {
        Self {
            hard: HardState::default(),
            base: (0, 0),
            entries: VecDeque::new(),
            conf: ConfState::default(),
            snapshot: Snapshot::default(),
            wanted: Cell::new(None),
        }
    }

    /// A log that begins with a snapshot.
    pub(super) fn founded(snapshot: Snapshot) -> Self {
        let mut log = Self::empty();
        let (index, term) = (snapshot.get_metadata().index, snapshot.get_metadata().term);
        log.hard.term = term;
        log.hard.commit = index;
        log.install(snapshot);
        log
    }

    /// Takes a snapshot that a leader sent: everything before it is replaced.
    pub(super) fn install(&mut self, snapshot: Snapshot) {
        let meta = snapshot.get_metadata();
        self.base = (meta.index, meta.term);
        self.entries.clear();
        self.conf = meta.get_conf_state().clone();
        self.hard.commit = self.hard.commit.max(meta.index);
        self.snapshot = snapshot;
    }

    pub(super) fn set_hard_state(&mut self, hard: HardState) {
        self.hard = hard;
    }

    pub(super) fn set_commit(&mut self, commit: u64) {
        self.hard.commit = commit;
    }

    pub(super) fn set_conf(&mut self, conf: ConfState) {
        self.conf = conf;
    }

    pub(super) fn conf(&self) -> &ConfState {
        &self.conf
    }

    /// Entries replace what they contradict, which was never committed.
    pub(super) fn append(&mut self, new: Vec<Entry>) {
        let Some(first) = new.first() else { return };
        let keep = first.index.saturating_sub(self.base.0 + 1);
        self.entries.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        self.entries.extend(new);
    }

    /// Keeps a snapshot of the state at `index` for members that lack what was cut off.
    pub(super) fn set_snapshot(&mut self, index: u64, data: Vec<u8>) {
        let Ok(term) = self.term(index) else { return };
        let mut snapshot = Snapshot { data: data.into(), ..Snapshot::default() };
        snapshot.mut_metadata().index = index;
        snapshot.mut_metadata().term = term;
        snapshot.mut_metadata().set_conf_state(self.conf.clone());
        self.snapshot = snapshot;
        self.wanted.set(None);
    }

    /// Cuts off the entries up to `index`, which the snapshot covers.
    pub(super) fn cut(&mut self, index: u64) {
        let index = index.min(self.snapshot.get_metadata().index);
        while let Some(first) = self.entries.front().filter(|e| e.index <= index) {
            self.base = (first.index, first.term);
            self.entries.pop_front();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The index of the last entry that was cut off.
    pub(super) fn base(&self) -> u64 {
        self.base.0
    }

    pub(super) fn snapshot_bytes(&self) -> usize {
        self.snapshot.data.len()
    }

    pub(super) fn snapshot_wanted(&self) -> Option<u64> {
        self.wanted.get()
    }

    fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    /// The place of an entry in the queue.
    fn at(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()
    }
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState { hard_state: self.hard.clone(), conf_state: self.conf.clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let Some(start) = self.at(low) else { return Err(Error::Store(StorageError::Compacted)) };
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let count = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
        let mut found: Vec<Entry> = self.entries.iter().skip(start).take(count).cloned().collect();
        raft::util::limit_size(&mut found, max_size.into());
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        let Some(at) = self.at(index) else { return Err(Error::Store(StorageError::Compacted)) };
        match self.entries.get(at) {
            Some(entry) => Ok(entry.term),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    /// The snapshot at hand, if it is of use to `to`: recent enough, and of a configuration that has `to` in it.
    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        let meta = self.snapshot.get_metadata();
        let conf = meta.get_conf_state();
        let knows = [&conf.voters, &conf.learners, &conf.voters_outgoing].iter().any(|ids| ids.contains(&to));
        if knows && meta.index >= request_index && meta.index >= self.base.0 {
            return Ok(self.snapshot.clone());
        }
        self.wanted.set(Some(to));
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
