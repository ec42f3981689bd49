//! What goes wrong in simulated clusters: deaths, newcomers that use a dead one's number, broken connections; and how the
//! others hear of it.

use std::cmp::Reverse;

use scifs::coherence::{Epoch, Member, MemberNo, View};

use super::sim::{Node, Sim, What};
use super::violation::Violation;

impl Sim {
    pub(super) fn plan_misfortunes(&mut self) {
        let nodes = self.nodes.len();
        let disturbances = if self.random.percent(60) { self.random.between(1, 4) } else { 0 };
        for _ in 0..disturbances {
            let node = self.random.between(0, nodes as u64) as usize;
            let after = self.random.between(1_000, 800_000);
            let other = self.random.between(0, nodes as u64) as usize;
            let what = match self.random.between(0, 100) {
                0..35 => What::Leave,
                35..80 => What::Crash,
                _ if other == node => What::Crash,
                _ => What::Break { other },
            };
            self.at(after, node, 0, what);
        }
        for _ in 0..self.random.between(0, 10) {
            let (node, after) = (self.random.between(0, nodes as u64), self.random.between(1_000, 800_000));
            self.at(after, node as usize, 0, What::Evict);
        }
    }

    /// A node begins to leave in an orderly way. Whether it has handed over what it holds is looked at now and then.
    pub(super) fn leave(&mut self, node: usize) -> Result<(), Violation> {
        let stays = self.nodes[node].station.as_ref().is_some_and(|station| !station.is_leaving());
        if !stays || !self.somebody_stays_without(node) {
            return Ok(());
        }
        self.at(20_000, node, self.nodes[node].run, What::Depart);
        self.hand_over(node)
    }

    /// Not always to somebody who stays, or even lives for long.
    fn hand_over(&mut self, node: usize) -> Result<(), Violation> {
        let others: Vec<_> =
            (0..self.nodes.len()).filter(|n| *n != node && self.nodes[*n].station.is_some()).collect();
        let heir = MemberNo(*self.random.pick(&others) as u32);
        self.leave_to(node, heir)
    }

    /// It goes as soon as the membership may say that it handed over everything; without, it goes like the dead.
    pub(super) fn depart(&mut self, node: usize) -> Result<(), Violation> {
        let Some(station) = &self.nodes[node].station else { return Ok(()) };
        let epoch = self.views[self.views.len() - 1].epoch;
        let ready = station.engine.has_handed_over() && station.engine.epoch() == epoch;
        if !ready {
            let run = self.nodes[node].run;
            if self.random.percent(1) {
                self.at(20_000, node, run, What::Crash);
                return Ok(());
            }
            self.at(20_000, node, run, What::Depart);
            // Its heir may have no room, or have died.
            return if self.random.percent(20) { self.hand_over(node) } else { Ok(()) };
        }
        // The others agree on it some time later.
        let (run, after) = (self.nodes[node].run, self.random.between(1_000, 200_000));
        self.at(after, node, run, What::Gone { epoch: epoch.0 });
        Ok(())
    }

    /// What it promised holds as long as the epoch is the same; if another one has come, it tries again.
    pub(super) fn gone(&mut self, node: usize, epoch: u64) {
        if self.views[self.views.len() - 1].epoch != Epoch(epoch) {
            self.at(20_000, node, self.nodes[node].run, What::Depart);
            return;
        }
        self.summary.departures += 1;
        self.vanish(node, Some(MemberNo(node as u32)));
    }

    fn somebody_stays_without(&self, node: usize) -> bool {
        let stays = |n: &Node| n.station.as_ref().is_some_and(|station| !station.is_leaving());
        self.nodes.iter().enumerate().any(|(no, n)| no != node && stays(n))
    }

    /// A node dies, with its memory. Of what it had sent, a part still arrives.
    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].station.is_none() || !self.somebody_stays_without(node) {
            return;
        }
        self.summary.deaths += 1;
        self.vanish(node, None);
    }

    fn vanish(&mut self, node: usize, handed_over: Option<MemberNo>) {
        self.lose_packets(node, None);
        self.nodes[node].station = None;
        self.nodes[node].run += 1;
        let mut view = self.newest_view();
        view.members.retain(|m| m.no.0 as usize != node);
        view.handed_over = handed_over;
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
        let mut view = self.newest_view();
        view.handed_over = None;
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
