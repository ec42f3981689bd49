//! The detector: one node of the cluster that looks for deadlocks of POSIX locks, one search at a time.
//!
//! A search begins when a request begins to wait whose owner somebody may be waiting for. It asks owner by owner what it
//! waits for and collects the answers as edges. They are from different moments, so if they lead back to the
//! owner, all of it is asked again: an edge that both runs saw existed all the time between the first run's end and the second's
//! beginning. A circle of such edges existed at one moment, so it is a deadlock and the request is refused; and a real
//! deadlock doesn't go away, so it is seen by both runs of whatever request closed it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::engine::{LockEngine, Turn, mutant};
use super::ids::Owner;
use super::message::{Ask, Body, Edge, Seek, Why};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Detector {
    seeks: VecDeque<Seek>,
    search: Option<Box<Search>>,
    /// The number of the last run.
    runs: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Search {
    seek: Seek,
    run: u64,
    /// What the first run saw, in the second.
    first: Option<BTreeSet<Edge>>,
    edges: BTreeSet<Edge>,
    asked: BTreeSet<Owner>,
    /// Owners whose nodes haven't said for how many requests they wait.
    unanswered: usize,
    /// Lists of edges that are to come, and that have come.
    lists_due: u64,
    lists: u64,
}

impl Search {
    fn owner(&self) -> Owner {
        Owner { node: self.seek.waiter.node, local: self.seek.owner }
    }
}

impl LockEngine {
    pub(super) fn on_seek(&mut self, turn: &mut Turn, seek: Seek) {
        self.detector.seeks.push_back(seek);
        if self.detector.search.is_none() {
            self.next_search(turn);
        }
    }

    fn next_search(&mut self, turn: &mut Turn) {
        self.detector.search = None;
        if let Some(seek) = self.detector.seeks.pop_front() {
            self.begin_run(turn, seek, None);
        }
    }

    fn begin_run(&mut self, turn: &mut Turn, seek: Seek, first: Option<BTreeSet<Edge>>) {
        self.detector.runs += 1;
        let run = self.detector.runs;
        let Seek { waiter, owner } = seek;
        let asked = BTreeSet::from([Owner { node: waiter.node, local: owner }]);
        let edges = BTreeSet::new();
        let search = Search { seek, run, first, edges, asked, unanswered: 1, lists_due: 0, lists: 0 };
        self.detector.search = Some(Box::new(search));
        let what = Body::WhatWaits { search: run, owner, only: Some(waiter.token) };
        self.send(turn, waiter.node, what);
    }

    /// Answers to a run that is over are of no interest.
    fn run(&mut self, run: u64) -> Option<&mut Search> {
        self.detector.search.as_deref_mut().filter(|search| search.run == run)
    }

    pub(super) fn on_waits(&mut self, turn: &mut Turn, run: u64, requests: u32) {
        let Some(search) = self.run(run) else { return };
        search.unanswered = search.unanswered.saturating_sub(1);
        search.lists_due += u64::from(requests);
        self.end_run(turn);
    }

    pub(super) fn on_edges(&mut self, turn: &mut Turn, run: u64, edges: Vec<Edge>, last: bool) {
        let Some(search) = self.run(run) else { return };
        let mut ask = Vec::new();
        for edge in edges {
            search.edges.insert(edge);
            if search.asked.insert(edge.to) {
                search.unanswered += 1;
                ask.push(edge.to);
            }
        }
        search.lists += u64::from(last);
        for Owner { node, local } in ask {
            self.send(turn, node, Body::WhatWaits { search: run, owner: local, only: None });
        }
        self.end_run(turn);
    }

    fn end_run(&mut self, turn: &mut Turn) {
        let hasty = mutant!(self, DoomAfterOneRun);
        let Some(search) = self.detector.search.take_if(|s| s.unanswered == 0 && s.lists == s.lists_due)
        else {
            return;
        };
        let Search { seek, ref edges, .. } = *search;
        let owner = search.owner();
        match &search.first {
            None if !edges.iter().any(|edge| edge.to == owner) => self.next_search(turn),
            None if !hasty => self.begin_run(turn, seek, Some(search.edges)),
            first => {
                let first = first.as_ref().unwrap_or(edges);
                let both: Vec<_> = edges.intersection(first).copied().collect();
                self.judge(turn, *search, &both);
            }
        }
    }

    fn judge(&mut self, turn: &mut Turn, search: Search, edges: &[Edge]) {
        let (owner, seek) = (search.owner(), search.seek);
        let held = |edge: &&Edge| matches!(edge.why, Why::Holds { .. });
        if circle(owner, edges.iter().filter(held)).is_some() {
            let hurry = mutant!(self, DontWaitForTheDoomed);
            let token = seek.waiter.token;
            self.send(turn, seek.waiter.node, Body::Doomed { search: search.run, token });
            // The next search begins when this request has ended, so that it sees the circle broken.
            self.detector.search = Some(Box::new(search));
            if hurry {
                self.next_search(turn);
            }
            return;
        }
        let circle = circle(owner, edges.iter()).unwrap_or_default();
        match circle.iter().find(|edge| !held(edge)) {
            // Only the queue's order makes it wait for ever: that isn't worth more than the request.
            Some(Edge { inode, waiter, .. }) => {
                let jump = Ask::Jump { waiter: *waiter };
                self.send(turn, self.registrar(*inode), Body::Ask { inode: *inode, ask: jump });
                self.begin_run(turn, seek, None);
            }
            None => self.next_search(turn),
        }
    }

    pub(super) fn on_over(&mut self, turn: &mut Turn, run: u64) {
        if self.run(run).is_some() {
            self.next_search(turn);
        }
    }
}

/// A way along `edges` from `owner` back to it.
fn circle<'a>(owner: Owner, edges: impl Iterator<Item = &'a Edge>) -> Option<Vec<Edge>> {
    let mut from: BTreeMap<Owner, Vec<Edge>> = BTreeMap::new();
    edges.for_each(|edge| from.entry(edge.from).or_default().push(*edge));
    let mut came_by: BTreeMap<Owner, Edge> = BTreeMap::new();
    let mut next = VecDeque::from([owner]);
    while let Some(at) = next.pop_front() {
        for edge in from.get(&at).into_iter().flatten() {
            if came_by.contains_key(&edge.to) {
                continue;
            }
            came_by.insert(edge.to, *edge);
            if edge.to == owner {
                return Some(way_back(owner, &came_by));
            }
            next.push_back(edge.to);
        }
    }
    None
}

fn way_back(owner: Owner, came_by: &BTreeMap<Owner, Edge>) -> Vec<Edge> {
    let mut way = Vec::new();
    let mut at = owner;
    while let Some(edge) = came_by.get(&at) {
        way.push(*edge);
        at = edge.from;
        if at == owner {
            break;
        }
    }
    way
}
