//! After a death: a new epoch. All tables are forgotten. Everybody reports to each registrar what its programs hold and
//! asks again for what they wait for; a registrar answers when all members have reported, oldest requests first.

use std::collections::{BTreeMap, BTreeSet};

use super::detector::Detector;
use super::engine::{Computed, LockEngine, Turn, mutant};
use super::ids::{Owner, Token};
use super::input::{Effect, Refusal, Violation};
use super::limits::LIST_ITEMS_MAX;
use super::message::{Ask, Body, HeldReport};
use super::pending::{Pending, Step};
use crate::coherence::{Epoch, MemberNo, View};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovery {
    awaiting: BTreeSet<MemberNo>,
    pub(super) asks: Vec<(MemberNo, u64, Ask)>,
}

impl LockEngine {
    pub(super) fn change_view(&mut self, turn: &mut Turn, view: View) {
        let before = self.epoch();
        if view.epoch == before {
            // Somebody joined; it holds nothing, so nothing changes.
            self.view = view.into();
            return;
        }
        if view.epoch.0 != before.0 + 1 {
            return turn.effects.push(Effect::Rejoin);
        }
        self.registrars = Computed::new(&view);
        self.view = view.into();
        self.forget_tables();
        let awaiting = self.view.members.iter().map(|m| m.no).collect();
        self.recovery =
            (!mutant!(self, ServeBeforeReports)).then(|| Box::new(Recovery { awaiting, asks: Vec::new() }));
        self.report_all(turn);
        self.ask_again(turn);
        self.receive_early(turn);
    }

    fn forget_tables(&mut self) {
        self.tables.clear();
        self.idle.clear();
        self.gone.clear();
        self.early_asks.clear();
        self.managers.clear();
        self.routed.clear();
        self.detector = Detector::default();
    }

    /// Tells each registrar what is held here of its files; those for whom there is nothing learn that.
    pub(super) fn report_all(&mut self, turn: &mut Turn) {
        let mut reports: BTreeMap<MemberNo, Vec<HeldReport>> =
            self.view.members.iter().map(|m| (m.no, Vec::new())).collect();
        let hide = usize::from(mutant!(self, HideOneLock));
        for report in self.holdings.report().skip(hide) {
            reports.entry(self.registrar(report.inode)).or_default().push(report);
        }
        for (to, mut held) in reports {
            loop {
                let rest = held.split_off(held.len().min(LIST_ITEMS_MAX));
                let last = rest.is_empty();
                self.send(turn, to, Body::Report { held, last });
                if last {
                    break;
                }
                held = rest;
            }
        }
    }

    /// No answer of the old epoch will come. What it granted and nobody was told of is void.
    fn ask_again(&mut self, turn: &mut Turn) {
        let tokens: Vec<_> = self.pending.keys().copied().collect();
        for token in &tokens {
            self.ask_again_for(turn, *token);
        }
        for token in tokens {
            if let Some(&pending) = self.pending.get(&token) {
                self.go_on(turn, token, pending);
            }
        }
    }

    fn ask_again_for(&mut self, turn: &mut Turn, token: Token) {
        let Some(pending) = self.pending.get_mut(&token) else { return };
        let was = *pending;
        (pending.routed, pending.cancelled, pending.doomed) = (false, false, None);
        match was.step {
            _ if mutant!(self, DontAskAgain) => {}
            Step::Acquiring if was.interrupted => self.finish(turn, token, Err(Refusal::Interrupted)),
            Step::Acquiring if was.doomed.is_some() => self.finish(turn, token, Err(Refusal::Deadlock)),
            // Called back for an unlock, which goes first.
            Step::Acquiring if was.cancelled => pending.step = Step::Paused,
            Step::Acquiring => self.ask_to_acquire(turn, token),
            // The report already said so. The answer says that everybody has heard it.
            Step::Lowering { .. } => self.ask_counted(turn, token, Ask::Sync { token }),
            Step::Testing { kind } => {
                let Pending { owner, range, .. } = was;
                self.ask_counted(turn, token, Ask::Test { owner, range, kind, token });
            }
            Step::Paused | Step::HeldUp { .. } => {}
        }
    }

    pub(super) fn on_report(&mut self, turn: &mut Turn, from: MemberNo, held: Vec<HeldReport>, last: bool) {
        if self.recovery.is_none() && !mutant!(self, ServeBeforeReports) {
            return;
        }
        if held.iter().any(|report| self.registrar(report.inode) != self.me) {
            return turn.distrust(from, Violation::NotRegistrar);
        }
        for HeldReport { inode, owner, pid, range, kind } in held {
            let owner = Owner { node: from, local: owner };
            self.tables.entry(inode).or_default().table.raise(owner, pid, range, kind);
        }
        let Some(recovery) = &mut self.recovery else { return };
        if last {
            recovery.awaiting.remove(&from);
            if recovery.awaiting.is_empty() {
                self.finish_recovery(turn);
            }
        }
    }

    fn finish_recovery(&mut self, turn: &mut Turn) {
        let Some(mut recovery) = self.recovery.take() else { return };
        recovery.asks.sort_by_key(|(_, _, ask)| age(ask));
        for (from, inode, ask) in recovery.asks {
            self.on_ask(turn, from, inode, ask);
        }
    }
}

/// Requests from before the change of epoch come before everything that was asked since, the oldest first.
fn age(ask: &Ask) -> Epoch {
    match ask {
        Ask::Acquire(acquire) => acquire.since,
        _ => Epoch(u64::MAX),
    }
}
