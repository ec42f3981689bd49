//! Before an orderly leave: every page that only this node has goes to other members, so that nothing is lost with it.
//!
//! What is there to do and whether it is done is the engine's to say (`coherence/leaving.rs`); this asks it, shard by shard, chooses who
//! gets what, and bounds how much is on its way and how long it may take.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use scios::limits::PAGE_BYTES;

use super::limits::{HAND_OVER_AGAIN, HAND_OVER_LOOK, HAND_OVER_MAX, HAND_OVER_PAGES_MAX, HAND_OVER_STALL};
use super::pages::Pages;
use super::shard::number_of;
use super::turn::{After, Turn};
use crate::coherence::limits::RUN_PAGES_MAX;
use crate::coherence::{Input, MemberNo, PageId, SegmentId, Stays};

/// A page on its way.
struct Offered {
    page: PageId,
    since: Instant,
    /// How often it was offered before.
    before: usize,
}

struct HandOver {
    pages: Arc<Pages>,
    offered: Vec<Offered>,
    /// The last page of each shard that was looked at; nothing for shards that are through.
    at: Vec<Cursor>,
    /// Bytes that members were offered since they announced what they have free.
    given: HashMap<MemberNo, u64>,
    taken: u64,
    progress: Instant,
}

#[derive(Clone, Copy)]
enum Cursor {
    Begin,
    After(PageId),
    End,
}

impl Pages {
    /// Gives what this node holds to other members. From now on it serves no requests. Returns the epoch in which nothing is only
    /// here; nothing when there was no room for something. Waits, for a bounded time.
    pub fn hand_over(self: &Arc<Self>) -> Option<u64> {
        let begun = Instant::now();
        self.gate.leave();
        self.drop_mapped(SegmentId(0)..=SegmentId(u64::MAX), |_, _| true);
        self.each_shard(|turn| turn.input(Input::Leave));
        let mut work = HandOver::new(self);
        while begun.elapsed() < HAND_OVER_MAX && work.progress.elapsed() < HAND_OVER_STALL {
            work.look();
            if work.is_through()
                && let Some(epoch) = self.close()
            {
                tracing::info!(
                    pages = work.taken,
                    seconds = begun.elapsed().as_secs_f64(),
                    "handed over what was only here"
                );
                return Some(epoch);
            }
            std::thread::sleep(HAND_OVER_LOOK);
        }
        let left =
            self.each_shard(|turn| turn.engine().map_or(0, |engine| engine.to_hand_over(None).count()));
        let left: usize = left.into_iter().sum();
        tracing::error!(
            pages = work.taken,
            left,
            "the other members have no room for what is only here; it is lost with this node"
        );
        None
    }

    /// The epoch in which all shards have nothing left, as soon as the other members have answered.
    fn close(self: &Arc<Self>) -> Option<u64> {
        let closed = self.each_shard(|turn| {
            turn.input(Input::Close);
            turn.engine().filter(|engine| engine.has_handed_over()).map(|engine| engine.epoch().0)
        });
        let first = closed.first().copied().flatten()?;
        closed.iter().all(|epoch| *epoch == Some(first)).then_some(first)
    }

    fn each_shard<T>(self: &Arc<Self>, mut act: impl FnMut(&mut Turn<'_>) -> T) -> Vec<T> {
        let mut after = After::default();
        let all = 0..self.shards.len();
        let results = all.filter_map(|number| self.turn(number, None, &mut after, &mut act)).collect();
        self.finish(after);
        results
    }

    fn stays(&self, page: PageId, after: &mut After) -> Option<Stays> {
        self.turn(number_of(page.extent()), None, after, |turn| turn.engine()?.stays(page)).flatten()
    }
}

impl HandOver {
    fn new(pages: &Arc<Pages>) -> Self {
        Self {
            pages: Arc::clone(pages),
            offered: Vec::new(),
            at: vec![Cursor::Begin; pages.shards.len()],
            given: HashMap::new(),
            taken: 0,
            progress: Instant::now(),
        }
    }

    /// Whether a whole round found nothing.
    fn is_through(&mut self) -> bool {
        if !self.offered.is_empty() || self.at.iter().any(|at| !matches!(at, Cursor::End)) {
            return false;
        }
        let left = self.pages.each_shard(|turn| turn.engine()?.to_hand_over(None).next());
        let none = left.iter().all(Option::is_none);
        if !none {
            self.at.fill(Cursor::Begin);
        }
        none
    }

    /// One look at everything: what has gone, what has to be offered again, what comes next.
    fn look(&mut self) {
        let pages = Arc::clone(&self.pages);
        let mut after = After::default();
        let before = self.offered.len();
        self.offered.retain(|offered| pages.stays(offered.page, &mut after).is_some());
        if self.offered.len() < before {
            self.taken += (before - self.offered.len()) as u64;
            self.progress = Instant::now();
        }
        pages.finish(after);
        let (mut again, keep): (Vec<_>, Vec<_>) = std::mem::take(&mut self.offered)
            .into_iter()
            .partition(|offered| offered.since.elapsed() > HAND_OVER_AGAIN);
        self.offered = keep;
        if !again.is_empty() {
            // What was under way when this began may have brought the kernel more.
            pages.drop_mapped(SegmentId(0)..=SegmentId(u64::MAX), |_, _| true);
        }
        again.sort_unstable_by_key(|offered| (offered.before, offered.page));
        for part in again.chunk_by(|a, b| a.before == b.before) {
            let pages: Vec<_> = part.iter().map(|offered| offered.page).collect();
            let before = part.first().map_or(0, |offered| offered.before);
            self.offer(&pages, before + 1);
        }
        for number in 0..self.at.len() {
            let room = HAND_OVER_PAGES_MAX.saturating_sub(self.offered.len());
            let more = self.next_of(number, room);
            self.offer(&more, 0);
        }
    }

    fn next_of(&mut self, number: usize, room: usize) -> Vec<PageId> {
        let Some(at) = self.at.get_mut(number) else { return Vec::new() };
        let from = match *at {
            Cursor::Begin => None,
            Cursor::After(page) => Some(page),
            Cursor::End => return Vec::new(),
        };
        let mut after = After::default();
        let found = self.pages.turn(number, None, &mut after, |turn| {
            let all = turn.engine().into_iter().flat_map(|engine| engine.to_hand_over(from));
            all.map(|(page, _)| page).take(room).collect::<Vec<_>>()
        });
        let found = found.unwrap_or_default();
        match found.last() {
            Some(last) => *at = Cursor::After(*last),
            None if room > 0 => *at = Cursor::End,
            None => {}
        }
        found
    }

    /// Offers pages, in order, to whoever has most room; those that were offered before to the next.
    fn offer(&mut self, pages: &[PageId], before: usize) {
        let since = Instant::now();
        let mut after = After::default();
        let follows = |a: &PageId, b: &PageId| a.ahead(1) == Some(*b);
        for run in pages.chunk_by(follows).flat_map(|run| run.chunks(usize::from(RUN_PAGES_MAX))) {
            let Some(first) = run.first().copied() else { continue };
            let to = self.choose(run.len(), before);
            self.pages
                .turn(number_of(first.extent()), None, &mut after, |turn| turn.hand_over(run, to, before));
            self.offered.extend(run.iter().map(|page| Offered { page: *page, since, before }));
        }
        self.pages.finish(after);
    }

    fn choose(&mut self, pages: usize, before: usize) -> Option<MemberNo> {
        let room = |member: &MemberNo| {
            let given = self.given.get(member).copied().unwrap_or(0);
            self.pages.free.of(*member).saturating_sub(given)
        };
        let mut members: Vec<_> = self.pages.peers.roster().numbers().collect();
        members.sort_by_cached_key(|member| (Reverse(room(member)), *member));
        let chosen = members.get(before.checked_rem(members.len())?).copied()?;
        *self.given.entry(chosen).or_default() += (pages * PAGE_BYTES) as u64;
        Some(chosen)
    }
}

impl Turn<'_> {
    /// Pages whose home is elsewhere go there; for those that it didn't take, and those that have their home here, somebody has to
    /// be found.
    fn hand_over(&mut self, run: &[PageId], to: Option<MemberNo>, before: usize) {
        let stays = |page: &PageId| Some((*page, self.engine()?.stays(*page)?));
        let stays: Vec<_> = run.iter().filter_map(stays).collect();
        let offers = |found: &&(PageId, Stays)| match found.1 {
            Stays::OnlyHere => true,
            Stays::Away => before > 0,
            Stays::Busy => false,
        };
        let offered: Vec<_> = stays.iter().filter(offers).map(|(page, _)| *page).collect();
        for run in offered.chunk_by(|a, b| a.ahead(1) == Some(*b)) {
            if let (Some(page), Some(to)) = (run.first().copied(), to) {
                self.input(Input::Offer { page, run: run.len() as u16, to });
            }
        }
        for (page, _) in stays.into_iter().filter(|(_, stays)| *stays == Stays::Away) {
            self.input(Input::Evict { page });
        }
    }
}
