//! The home's directory after a change of epoch, page by page, from what the survivors reported.
//!
//! Why the verdicts are right: a home does one thing at a time to a page, and a transfer isn't done before its giver has
//! forgotten the page. So all reports about a page come from one transfer and the quiet time before it.
//!
//! - A copy that anybody reports as shared is current: had there been a write since, it would have been acknowledged away.
//! - A ceded copy is the page if its taker lives and doesn't report it: then the bytes never arrived, and now never will.
//! - A ceded copy whose taker died may be history: the taker may have written before it died, and its other writes may
//!   have been seen. So the page is lost.
//! - A page that no writer ever had is zeros, whoever had fetched it.
//! - If nobody reports a page though a holder lives, that holder's grant was still on its way, and it was of zeros: bytes
//!   never leave a node before they have arrived at another.

use super::copyset::CopySet;
use super::directory::{Busy, Entry, NEVER_WRITTEN, Transfer};
use super::engine::{Engine, Turn, mutant};
use super::ids::{Epoch, MemberNo, PageId};
use super::message::{Body, HeldAs};
use super::protocol::Holders;

type Reports = Vec<(MemberNo, HeldAs, u64)>;

/// How a page comes out of a change of epoch.
struct Verdict {
    holders: Holders,
    /// The giver of a transfer that was cut short, and whether its copy is the page.
    settle: Option<(MemberNo, bool)>,
}

impl Engine {
    pub(super) fn finish_recovery(&mut self, turn: &mut Turn) {
        let Some(recovery) = self.recovery.take() else { return };
        self.extents.values_mut().for_each(|extent| extent.taken = false);
        let mut reports = recovery.pages;
        for page in self.directory.keys() {
            reports.entry(*page).or_default();
        }
        for (page, mut reports) in reports {
            self.remember_verdict(page, &mut reports);
            self.rebuild(turn, page, &reports, recovery.base);
        }
        self.note_all(turn);
        for (from, extent) in recovery.wheres {
            self.on_where(turn, from, extent);
        }
        let waiting: Vec<_> =
            self.directory.iter().filter(|(_, e)| e.busy.is_some()).map(|(page, _)| *page).collect();
        for page in waiting {
            self.start(turn, page);
        }
    }

    /// A giver that was told to keep its copy, but had not heard it when the epoch changed again, still has the page,
    /// whatever has become of the taker since.
    fn remember_verdict(&self, page: PageId, reports: &mut Reports) {
        let Some(told) = self.directory.get(&page).and_then(Entry::transfer).filter(|t| t.keeps) else {
            return;
        };
        for (member, held, _) in reports.iter_mut().filter(|_| !mutant!(self, ForgetVerdict)) {
            if *member == told.expect && matches!(held, HeldAs::Ceded { .. }) {
                *held = HeldAs::Ceded { taker_lives: true };
            }
        }
    }

    fn rebuild(&mut self, turn: &mut Turn, page: PageId, reports: &Reports, base: Epoch) {
        let before = self.entry(page).clone();
        let verdict = judge(reports).unwrap_or_else(|| Verdict {
            holders: match ceded(reports) {
                Some(_) if !mutant!(self, ForgetVerdict) => Holders::Lost,
                _ => self.unreported(&before, base),
            },
            settle: ceded(reports).map(|(giver, _)| (giver, false)),
        });
        let newest = reports.iter().map(|(_, _, version)| *version).max().unwrap_or(0);
        let transfer = verdict.settle.map(|(giver, keep)| {
            self.send(turn, giver, page, Body::Settle { keep });
            Transfer { expect: giver, giver: None, revives: false, keeps: keep }
        });
        let entry = self.entry(page);
        entry.holders = verdict.holders;
        entry.lent = false;
        entry.version = before.version.max(newest);
        let queue = entry.busy.take().map(|b| b.queue).unwrap_or_default();
        if transfer.is_some() || !queue.is_empty() {
            entry.busy = Some(Box::new(Busy { transfer, queue }));
        }
    }

    /// What has become of a page of which no survivor has the bytes.
    fn unreported(&self, before: &Entry, base: Epoch) -> Holders {
        let lives = |member: MemberNo| self.survives(member, base);
        let in_transfer =
            before.transfer().is_some_and(|t| t.revives || t.giver.is_some_and(|giver| !lives(giver)));
        let on_its_way = match &before.holders {
            Holders::Untouched => return Holders::Untouched,
            Holders::Lost => false,
            // Had it been written, it would have had another version.
            Holders::Shared(_) if before.version == NEVER_WRITTEN => return Holders::Untouched,
            Holders::Shared(set) => set.iter().any(lives),
            Holders::Exclusive(owner) => lives(*owner),
        };
        if on_its_way && !in_transfer || mutant!(self, LostReadsAsZeros) {
            Holders::Untouched
        } else {
            Holders::Lost
        }
    }
}

/// `None` if no survivor has the page's bytes for certain.
fn judge(reports: &Reports) -> Option<Verdict> {
    let who =
        |what: HeldAs| reports.iter().filter(move |(_, held, _)| *held == what).map(|(member, ..)| *member);
    let history = ceded(reports).map(|(giver, _)| (giver, false));
    if let Some(owner) = who(HeldAs::Exclusive).next() {
        return Some(Verdict { holders: Holders::Exclusive(owner), settle: history });
    }
    let shared: CopySet = who(HeldAs::Shared).collect();
    if !shared.is_empty() {
        return Some(Verdict { holders: Holders::Shared(shared), settle: history });
    }
    let (giver, _) = ceded(reports).filter(|(_, taker_lives)| *taker_lives)?;
    Some(Verdict { holders: Holders::Shared(CopySet::one(giver)), settle: Some((giver, true)) })
}

fn ceded(reports: &Reports) -> Option<(MemberNo, bool)> {
    reports.iter().find_map(|(member, held, _)| match held {
        HeldAs::Ceded { taker_lives } => Some((*member, *taker_lives)),
        _ => None,
    })
}
