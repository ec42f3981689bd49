//! After a death: a new epoch. All queues are forgotten. Everybody reports to each keeper who waits there, and which barriers
//! opened of which others may not know; a keeper answers when all members have reported.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::{SyncEngine, Turn, mutant};
use super::ids::{Key, Round, Token, WaiterId};
use super::input::{Effect, Violation};
use super::limits::LIST_ITEMS_MAX;
use super::message::{Ask, Body, OpenedReport, WaitingReport};
use super::pending::Step;
use crate::coherence::{MemberNo, Registrars, View};

#[derive(Debug, Default)]
pub(super) struct Recovery {
    awaiting: BTreeSet<MemberNo>,
    waiting: Vec<(MemberNo, WaitingReport)>,
    opened: BTreeMap<(Key, Round), Gathered>,
    pub(super) asks: Vec<(MemberNo, Key, Ask)>,
}

/// A round that opened, from all reports of it.
#[derive(Debug)]
struct Gathered {
    leader: WaiterId,
    parties: BTreeSet<WaiterId>,
    reporters: BTreeSet<MemberNo>,
}

impl SyncEngine {
    pub(super) fn change_view(&mut self, turn: &mut Turn, view: View) {
        let before = self.epoch();
        if view.epoch == before {
            // Somebody joined, where nobody waits yet.
            self.view = view.into();
            return;
        }
        if view.epoch.0 != before.0 + 1 {
            return turn.effects.push(Effect::Rejoin);
        }
        self.keepers = Registrars::new(&view);
        self.view = view.into();
        if !mutant!(self, KeepQueues) {
            self.queues.clear();
        }
        self.unsettled.clear();
        self.opening.clear();
        self.forget_the_dead();
        let awaiting = self.view.members.iter().map(|member| member.no).collect();
        self.recovery = Some(Box::new(Recovery { awaiting, ..Recovery::default() }));
        self.finish_left(turn);
        self.report_all(turn);
        self.ask_again(turn);
        self.receive_early(turn);
        if mutant!(self, ServeBeforeReports) {
            self.finish_recovery(turn);
        }
    }

    /// A number may be given again: whoever gets it was no party of a round of before.
    fn forget_the_dead(&mut self) {
        let (view, me) = (&self.view, self.me);
        self.opened.retain(|_, opened| {
            opened.parties.retain(|party| view.members.iter().any(|member| member.no == party.node));
            opened.parties.iter().any(|party| party.node != me)
        });
    }

    /// Tells each keeper what concerns it; those whom nothing concerns learn that.
    pub(super) fn report_all(&mut self, turn: &mut Turn) {
        let mut reports: BTreeMap<MemberNo, (Vec<WaitingReport>, Vec<OpenedReport>)> =
            self.view.members.iter().map(|member| (member.no, Default::default())).collect();
        for report in self.waiting_reports() {
            reports.entry(self.keeper(&report.key)).or_default().0.push(report);
        }
        if !mutant!(self, HideOpened) {
            for ((key, round), opened) in &self.opened {
                for parties in opened.parties.chunks(LIST_ITEMS_MAX) {
                    let (key, round, leader) = (*key, *round, opened.leader);
                    let report = OpenedReport { key, round, leader, parties: parties.to_vec() };
                    reports.entry(self.keeper(&key)).or_default().1.push(report);
                }
            }
        }
        for (to, (waiting, opened)) in reports {
            for piece in waiting.chunks(LIST_ITEMS_MAX) {
                self.send(
                    turn,
                    to,
                    Body::Report { waiting: piece.to_vec(), opened: Vec::new(), last: false },
                );
            }
            for piece in opened {
                self.send(turn, to, Body::Report { waiting: Vec::new(), opened: vec![piece], last: false });
            }
            self.send(turn, to, Body::Report { waiting: Vec::new(), opened: Vec::new(), last: true });
        }
    }

    fn waiting_reports(&self) -> Vec<WaitingReport> {
        let forget = mutant!(self, DontAskAgain);
        let waiting = self.pending.iter().filter(|(_, pending)| pending.waits() && !forget);
        let report = |(token, pending): (&Token, &super::pending::Pending)| WaitingReport {
            key: pending.key,
            token: *token,
            parties: pending.parties,
            rank: pending.rank,
            asleep: pending.asleep && !mutant!(self, ForgetWhoSleeps),
        };
        waiting.map(report).collect()
    }

    /// No answer of the old epoch will come. Who waits was reported; what came of a notification, nobody knows.
    fn ask_again(&mut self, turn: &mut Turn) {
        let mut asks = Vec::new();
        for (token, pending) in &mut self.pending {
            let token = *token;
            match pending.step {
                Step::Joining | Step::Looking { .. } | Step::Waiting => pending.step = Step::Joining,
                Step::Leaving { .. } => asks.push((pending.key, Ask::Leave { token })),
                Step::Notifying | Step::Settling => {
                    asks.push((pending.key, Ask::Notify { token, count: pending.count, again: true }));
                }
            }
        }
        for (key, ask) in asks {
            self.ask(turn, key, ask);
        }
    }

    pub(super) fn on_report(
        &mut self,
        turn: &mut Turn,
        from: MemberNo,
        waiting: Vec<WaitingReport>,
        opened: Vec<OpenedReport>,
        last: bool,
    ) {
        let mine = |key: &Key| self.keeper(key) == self.me;
        if !waiting.iter().all(|report| mine(&report.key)) || !opened.iter().all(|report| mine(&report.key)) {
            return turn.distrust(from, Violation::NotKeeper);
        }
        let Some(recovery) = &mut self.recovery else { return };
        recovery.waiting.extend(waiting.into_iter().map(|report| (from, report)));
        for OpenedReport { key, round, leader, parties } in opened {
            let gathered = recovery.opened.entry((key, round)).or_insert_with(|| Gathered {
                leader,
                parties: BTreeSet::new(),
                reporters: BTreeSet::new(),
            });
            gathered.parties.extend(parties);
            gathered.reporters.insert(from);
        }
        if last {
            recovery.awaiting.remove(&from);
            if recovery.awaiting.is_empty() {
                self.finish_recovery(turn);
            }
        }
    }

    fn finish_recovery(&mut self, turn: &mut Turn) {
        let Some(mut recovery) = self.recovery.take() else { return };
        for (round, gathered) in std::mem::take(&mut recovery.opened) {
            self.open_again(turn, round, gathered, &mut recovery.waiting);
        }
        // Whom no keeper has given a rank comes after the others.
        recovery
            .waiting
            .sort_by_key(|(node, report)| (report.rank.is_none(), report.rank, *node, report.token));
        for (node, WaitingReport { key, token, parties, rank, asleep }) in recovery.waiting {
            self.take_in(turn, key, WaiterId { node, token }, parties, rank, asleep);
        }
        for (from, key, ask) in recovery.asks {
            self.on_ask(turn, from, key, ask);
        }
    }

    /// Somebody was let out of that round, so everybody is who was in it.
    fn open_again(
        &mut self,
        turn: &mut Turn,
        (key, round): (Key, Round),
        gathered: Gathered,
        waiting: &mut Vec<(MemberNo, WaitingReport)>,
    ) {
        let Gathered { leader, parties, reporters } = gathered;
        let (inside, outside): (Vec<_>, Vec<_>) =
            std::mem::take(waiting).into_iter().partition(|(node, report)| {
                report.key == key && parties.contains(&WaiterId { node: *node, token: report.token })
            });
        *waiting = outside;
        let shut: BTreeSet<_> = inside.iter().map(|(node, _)| *node).collect();
        let known: BTreeSet<_> = reporters.union(&shut).copied().collect();
        let parties: Vec<_> = parties.into_iter().collect();
        self.open_for(turn, (key, round), leader, &parties, &shut, &known);
    }
}
