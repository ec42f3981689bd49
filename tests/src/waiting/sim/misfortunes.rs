//! Deaths, newcomers and broken connections, and the views that follow from them.

use std::collections::BTreeMap;

use scifs::coherence::{Member, MemberNo, View};

use super::{Node, Packet, Sim, What};
use crate::waiting::violation::Violation;

impl Sim {
    pub(super) fn plan_misfortunes(&mut self) {
        for _ in 0..self.setup.misfortunes {
            let (node, other) = (self.pick_node(), self.pick_node());
            let what = match self.random.between(0, 5) {
                0..=2 => What::Crash,
                3 if node != other => What::Break { other },
                _ => What::Join,
            };
            let after = self.random.between(0, 1_500_000);
            self.at(after, node, what);
        }
    }

    fn alive(&self) -> usize {
        self.nodes.iter().filter(|node| node.engine.is_some()).count()
    }

    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].engine.is_none() || self.alive() < 3 {
            return;
        }
        let me = MemberNo(node as u32);
        self.summary.deaths += 1;
        self.nodes[node] =
            Node { run: self.nodes[node].run + 1, tokens: self.nodes[node].tokens, ..Node::default() };
        // What it sent last may be lost, in part.
        let lost = self.random.percent(60);
        let random = &mut self.random;
        let mut lost_to: BTreeMap<MemberNo, bool> = BTreeMap::new();
        self.packets.retain(|_, packet| {
            let is_lost = *lost_to.entry(packet.to).or_insert_with(|| random.percent(50));
            packet.to != me && !(packet.from == me && lost && is_lost)
        });
        let mut view = self.views[self.views.len() - 1].clone();
        view.epoch.0 += 1;
        view.members.retain(|member| member.no != me);
        self.publish(view);
    }

    pub(super) fn join(&mut self, node: usize) -> Result<(), Violation> {
        let mut view = self.views[self.views.len() - 1].clone();
        let no = MemberNo(node as u32);
        if self.nodes[node].engine.is_some() || view.members.iter().any(|m| m.no == no) {
            return Ok(());
        }
        view.members.push(Member { no, joined: view.epoch });
        view.members.sort_by_key(|member| member.no);
        self.publish(view);
        self.start(node)
    }

    pub(super) fn break_connection(&mut self, node: usize, other: usize) {
        if self.nodes[node].engine.is_none() || self.nodes[other].engine.is_none() || node == other {
            return;
        }
        self.summary.breaks += 1;
        let (a, b) = (MemberNo(node as u32), MemberNo(other as u32));
        let between = |p: &Packet| (p.from, p.to) == (a, b) || (p.from, p.to) == (b, a);
        self.packets.retain(|_, packet| !between(packet));
        let mut view = self.views[self.views.len() - 1].clone();
        view.epoch.0 += 1;
        self.cut.insert((a, b), view.epoch);
        self.cut.insert((b, a), view.epoch);
        self.publish(view);
    }

    fn publish(&mut self, view: View) {
        self.views.push(view);
        let view = self.views.len() - 1;
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.is_some() {
                let arrives =
                    (self.now + self.random.between(10_000, 500_000)).max(self.nodes[node].view_at + 1);
                self.nodes[node].view_at = arrives;
                self.at(arrives - self.now, node, What::View { view });
            }
        }
    }
}
