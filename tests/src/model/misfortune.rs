//! What goes wrong in simulated clusters: deaths, newcomers that use a dead one's number, broken connections; and how the
//! others hear of it.

use std::cmp::Reverse;

use scifs::coherence::{Epoch, Member, MemberNo, View};

use super::sim::{Sim, What};

impl Sim {
    pub(super) fn plan_misfortunes(&mut self) {
        let nodes = self.nodes.len();
        let disturbances = if self.random.percent(60) { self.random.between(1, 4) } else { 0 };
        for _ in 0..disturbances {
            let node = self.random.between(0, nodes as u64) as usize;
            let after = self.random.between(1_000, 800_000);
            let other = self.random.between(0, nodes as u64) as usize;
            let what =
                if self.random.percent(70) || other == node { What::Crash } else { What::Break { other } };
            self.at(after, node, 0, what);
        }
        for _ in 0..self.random.between(0, 10) {
            let (node, after) = (self.random.between(0, nodes as u64), self.random.between(1_000, 800_000));
            self.at(after, node as usize, 0, What::Evict);
        }
    }

    /// A node dies, with its memory. Of what it had sent, a part still arrives.
    pub(super) fn crash(&mut self, node: usize) {
        let alive = self.nodes.iter().filter(|n| n.station.is_some()).count();
        if alive < 2 || self.nodes[node].station.is_none() {
            return;
        }
        self.summary.deaths += 1;
        self.lose_packets(node, None);
        self.nodes[node].station = None;
        self.nodes[node].run += 1;
        let mut view = self.newest_view();
        view.members.retain(|m| m.no.0 as usize != node);
        self.new_epoch(view);
        if self.random.percent(60) {
            let after = self.random.between(1_000, 500_000);
            let run = self.nodes[node].run;
            self.at(after, node, run, What::Join);
        }
    }

    /// A number is used again, by a node that has nothing.
    pub(super) fn join(&mut self, node: usize) {
        if self.nodes[node].station.is_some() {
            return;
        }
        let mut view = self.newest_view();
        view.members.push(Member { no: MemberNo(node as u32), joined: view.epoch });
        view.members.sort_by_key(|m| m.no);
        self.announce(view);
        self.nodes[node].view_at = self.now;
        self.start(node);
    }

    /// A connection between two nodes that live breaks; some messages are lost. The membership raises the epoch.
    pub(super) fn break_connection(&mut self, node: usize, other: usize) {
        if self.nodes[node].station.is_none() || self.nodes[other].station.is_none() {
            return;
        }
        self.summary.breaks += 1;
        self.lose_packets(node, Some(other));
        self.lose_packets(other, Some(node));
        let view = self.newest_view();
        let until = Epoch(view.epoch.0 + 1);
        let (a, b) = (MemberNo(node as u32), MemberNo(other as u32));
        self.cut.insert((a, b), until);
        self.cut.insert((b, a), until);
        self.new_epoch(view);
    }

    /// Each link of a node loses what would arrive after a moment of its own.
    fn lose_packets(&mut self, from: usize, to: Option<usize>) {
        let from = MemberNo(from as u32);
        let cuts: Vec<_> = self.nodes.iter().map(|_| self.random.between(0, 100_000)).collect();
        let now = self.now;
        for Reverse((time, _, at, _, what)) in &self.agenda {
            if let What::Deliver { from: (sender, _), packet } = what
                && *sender == from
                && to.is_none_or(|to| to == *at)
                && *time > now + cuts[*at]
            {
                self.packets[*packet] = None;
            }
        }
    }

    pub(super) fn recovered(&self) -> bool {
        let alive = || self.nodes.iter().filter(|n| n.station.is_some());
        alive().all(|n| n.view_at < self.now)
            && alive().filter_map(|n| n.station.as_ref()).all(|s| s.engine.settled())
    }

    fn newest_view(&self) -> View {
        self.views[self.views.len() - 1].clone()
    }

    fn new_epoch(&mut self, mut view: View) {
        view.epoch.0 += 1;
        self.announce(view);
    }

    /// Every node hears of every view, in order, each in its own time.
    fn announce(&mut self, view: View) {
        self.views.push(view);
        let view = self.views.len() - 1;
        for node in 0..self.nodes.len() {
            if self.nodes[node].station.is_none() {
                continue;
            }
            let hears = (self.now + self.random.between(1_000, 200_000)).max(self.nodes[node].view_at + 1);
            self.nodes[node].view_at = hears;
            let run = self.nodes[node].run;
            self.at(hears - self.now, node, run, What::View { view });
        }
    }
}
