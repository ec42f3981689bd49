//! Makes room when this node's memory is short: frames without a page first, then pages whose home is elsewhere go there, and
//! those that were only fetched to be read.
//!
//! Pages leave by messages, so room comes later: requests that need it wait here, for as long as some is being made.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use scios::memory::Evictor;

use super::access::MapRead;
use super::fault::PageFault;
use super::file::File;
use super::limits::{PARKED_FOR, PARKED_MAX, PASSING_SHARE, READ_PARKED_FOR};
use super::pages::Pages;
use super::placement::for_readers;
use super::revoker::join;
use super::shard::number_of;
use super::turn::{After, Turn};
use crate::coherence::{Input, Mode, PageId, PageState};

/// Called with whether there may be room now.
type Job = Box<dyn FnOnce(&Arc<Pages>, bool) + Send>;

struct Parked {
    since: Instant,
    page: PageId,
    mode: Mode,
    job: Job,
}

impl Parked {
    fn is_overdue(&self, hopeful: bool) -> bool {
        let patience = match (self.mode, hopeful) {
            (Mode::Read, true) => READ_PARKED_FOR,
            (Mode::Read, false) | (Mode::Write, true) => PARKED_FOR,
            (Mode::Write, false) => Duration::ZERO,
        };
        self.since.elapsed() >= patience
    }
}

pub(super) struct Evicting(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    parked: VecDeque<Parked>,
    kicked: bool,
    short: bool,
    stopped: bool,
}

/// Between two rounds while requests wait: pages are on their way.
const ROUND: Duration = Duration::from_millis(2);

/// Room is made when less than this part of the budget is free.
const LOW: u64 = 16;

/// What the frames' accounting asks for room: it is asked by whoever needs a frame, under any lock, so it only passes it on.
struct Hook(Arc<Shared>);

impl Evictor for Hook {
    fn evict(&self, _: u64) -> bool {
        self.0.kick();
        false
    }
}

impl Evicting {
    pub(super) fn start(pages: &Weak<Pages>) -> Self {
        let shared = Arc::new(Shared::default());
        let (pages, theirs) = (Weak::clone(pages), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("evictor".into()).spawn(move || theirs.work(&pages));
        if let Err(error) = thread {
            tracing::error!(%error, "cannot start the evictor's thread; memory fills up without anything leaving");
        }
        Self(shared)
    }

    pub(super) fn hook(&self) -> Arc<dyn Evictor> {
        Arc::new(Hook(Arc::clone(&self.0)))
    }

    /// Has the request tried again when there is room. False when too many wait already: then it was not taken.
    pub(super) fn park(&self, (page, mode): (PageId, Mode), job: Job) -> bool {
        let mut state = self.0.state.lock();
        if state.stopped || state.parked.len() >= PARKED_MAX {
            return false;
        }
        state.parked.push_back(Parked { since: Instant::now(), page, mode, job });
        drop(state);
        self.0.kick();
        true
    }

    /// As `park`; gives the request back when it was not taken.
    pub(super) fn park_map(&self, (page, mode): (PageId, Mode), read: MapRead) -> Option<MapRead> {
        let mut state = self.0.state.lock();
        if state.stopped || state.parked.len() >= PARKED_MAX {
            return Some(read);
        }
        let job: Job = Box::new(move |pages, room| {
            if !room {
                return (read.done)(Err(PageFault::Full));
            }
            let mut after = After::default();
            pages.ask_map(read, &mut after);
            pages.finish(after);
        });
        state.parked.push_back(Parked { since: Instant::now(), page, mode, job });
        drop(state);
        self.0.kick();
        None
    }

    /// Whether nothing should be fetched that nobody has asked for.
    pub(super) fn is_short(&self) -> bool {
        self.0.state.lock().short
    }

    pub(super) fn stop(&self) {
        self.0.state.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn kick(&self) {
        self.state.lock().kicked = true;
        self.changed.notify_one();
    }

    fn work(&self, pages: &Weak<Pages>) {
        loop {
            let stopped = {
                let mut state = self.state.lock();
                while !state.kicked && !state.stopped && state.parked.is_empty() {
                    self.changed.wait(&mut state);
                }
                if !state.kicked && !state.stopped {
                    self.changed.wait_for(&mut state, ROUND);
                }
                state.kicked = false;
                state.stopped
            };
            let Some(pages) = pages.upgrade() else { return };
            if stopped {
                return self.let_go(&pages, |_| true, false);
            }
            self.round(&pages);
        }
    }

    fn round(&self, pages: &Arc<Pages>) {
        let hopeful = pages.make_room();
        let free = pages.memory().status().available_bytes() > 0;
        self.state.lock().short = pages.is_low();
        if free {
            self.let_go(pages, |parked| !pages.is_crowded_for(parked.page, parked.mode), true);
        }
        self.let_go(pages, |parked| parked.is_overdue(hopeful), false);
    }

    fn let_go(&self, pages: &Arc<Pages>, which: impl Fn(&Parked) -> bool, room: bool) {
        let all = std::mem::take(&mut self.state.lock().parked);
        let (go, stay): (VecDeque<_>, VecDeque<_>) = all.into_iter().partition(which);
        let mut state = self.state.lock();
        let newer = std::mem::replace(&mut state.parked, stay);
        state.parked.extend(newer);
        drop(state);
        go.into_iter().for_each(|parked| (parked.job)(pages, room));
    }
}

impl Pages {
    pub(super) fn is_low(&self) -> bool {
        let status = self.memory().status();
        status.available_bytes() < status.budget_bytes / LOW
    }

    /// Whether what is left is for pages that are only read.
    pub(super) fn is_crowded(&self) -> bool {
        let status = self.memory().status();
        status.available_bytes() < for_readers(status.budget_bytes)
    }

    /// Whether not even a page may come that is expected to go on to its home.
    fn is_cramped(&self) -> bool {
        let status = self.memory().status();
        status.available_bytes() < for_readers(status.budget_bytes) / PASSING_SHARE
    }

    /// Whether the page may not take what is kept for pages that are only read. One whose home has room passes through.
    pub(super) fn is_crowded_for(&self, page: PageId, mode: Mode) -> bool {
        if mode == Mode::Read || !self.is_crowded() {
            return false;
        }
        if self.is_cramped() {
            return true;
        }
        let shard = self.shards.get(number_of(page.extent())).map(|shard| shard.lock());
        let Some(engine) = shard.as_ref().and_then(|shard| shard.engine.as_ref()) else { return false };
        let me = engine.me();
        let room = match engine.home(page) {
            Some(home) if home == me => false,
            Some(home) => self.free.has_room(home.0),
            None => self.free.others_have_room(me.0),
        };
        !room
    }

    /// Whether the page is here and may be written without anything staying here that could have left: what its home has fetched to
    /// read it goes again, what it has fetched to write stays.
    pub(super) fn has_to_write(&self, file: &File, page: PageId) -> bool {
        let surplus = || {
            let shard = self.shards.get(number_of(page.extent())).map(|shard| shard.lock());
            let engine = shard.as_ref().and_then(|shard| shard.engine.as_ref());
            engine.is_some_and(|engine| engine.is_surplus_at_home(page))
        };
        file.memory().is_resident(u64::from(page.index)) && !surplus()
    }

    /// Looks now and then whether room should be made before somebody needs it.
    pub(super) fn watch_memory(&self) {
        if self.is_low() {
            self.evicting.0.kick();
        }
    }

    /// Gives back what it can and asks homes to take back pages. False when nothing is to be hoped for.
    fn make_room(self: &Arc<Self>) -> bool {
        let mut after = After::default();
        let mut hopeful = false;
        for number in 0..self.shards.len() {
            self.turn(number, None, &mut after, |turn| {
                turn.end();
                while turn.release_spare() {
                    hopeful = true;
                }
            });
        }
        for file in self.files.all() {
            if !self.is_low() {
                break;
            }
            hopeful |= self.make_room_in(&file, &mut after);
        }
        self.finish(after);
        hopeful
    }

    fn make_room_in(self: &Arc<Self>, file: &Arc<File>, after: &mut After) -> bool {
        let (mut hopeful, mut mapped) = (false, Vec::new());
        for index in file.memory().resident_runs(0).flatten() {
            let Ok(index) = u32::try_from(index) else { break };
            let (page, _) = file.chunk(index, index);
            let found = self.turn(number_of(page.extent()), None, after, |turn| turn.evict(file, page));
            match found {
                Some(Found::Leaves) => hopeful = true,
                Some(Found::Mapped) => mapped.push(page),
                Some(Found::Stays) | None => {}
            }
        }
        // What programs have mapped goes last, and comes back when they touch it.
        if !hopeful && !mapped.is_empty() {
            mapped.retain(|page| {
                let mark = |turn: &mut Turn<'_>| {
                    let free = !turn.shard.dropping.contains_key(page);
                    turn.shard.dropping.entry(*page).or_insert(false);
                    free
                };
                self.turn(number_of(page.extent()), None, after, mark).unwrap_or(false)
            });
            for run in join(mapped.clone()) {
                self.take_from_kernel(run, after);
            }
            self.drop_from_programs(mapped.clone(), after);
            for page in mapped {
                self.turn(number_of(page.extent()), None, after, |turn| turn.input(Input::Evict { page }));
            }
            hopeful = true;
        }
        hopeful
    }
}

enum Found {
    /// A frame was given back, or the page is on its way out.
    Leaves,
    /// It could leave if neither the kernel nor programs had it.
    Mapped,
    Stays,
}

impl Turn<'_> {
    /// Pages whose home is elsewhere can leave if that takes them, those whose home is here if others have them too.
    fn evict(&mut self, file: &File, page: PageId) -> Found {
        let Some(engine) = self.engine() else { return Found::Stays };
        let Some(view) = engine.page(page) else {
            file.release(page);
            return Found::Leaves;
        };
        let quiet = !view.busy && matches!(view.state, PageState::Shared | PageState::Exclusive);
        let stays = engine.home(page) == Some(engine.me()) && !engine.is_surplus_at_home(page);
        if !quiet || stays {
            return if view.busy { Found::Leaves } else { Found::Stays };
        }
        if view.mappers.is_empty() {
            self.input(Input::Evict { page });
            return Found::Leaves;
        }
        if self.shard.dropping.contains_key(&page) {
            return Found::Stays;
        }
        Found::Mapped
    }
}

impl fmt::Debug for Evicting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evicting").field("parked", &self.0.state.lock().parked.len()).finish()
    }
}
