//! The pages of a node: shards of the coherence engine, and everything that their effects need.
//!
//! # Who runs what
//!
//! Nothing in here has a thread of its own on the way of a fault: the thread that brings an event (a worker with a request of the
//! kernel, a receiver with a peer's message, the timer) takes the shard's lock, lets the engine think, performs the effects,
//! and goes on with what may not be done under the lock. No lock of this folder is held while anybody is called who may wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use scios::limits::PAGE_BYTES;
use scios::memory::{Memory, MemoryError, Region, RegionSlice};
use scios::rpc::codec::Message as _;
use scios::rpc::{Incoming, Listener, Responder, Rpc, Service};
use scios::verbs::DownReason;
use scios::{Nanos, NodeId};

use super::access::Access;
use super::asking::answer;
use super::awake::Awake;
use super::census::Census;
use super::eviction::Evicting;
use super::files::Files;
use super::gate::Gate;
use super::kernel_cache::KernelCache;
use super::limits::{HOLD_MIN, SHARDS, WAIT_HERE_MAX};
use super::metrics::Metrics;
use super::peers::Peers;
use super::placement::{FreeMemory, Roomy};
use super::programs::{NoPrograms, Programs};
use super::revoker::Revoker;
use super::shard::{Shard, Stranger, number_of};
use super::survey::Survey;
use super::timers::Timers;
use super::turn::{After, Turn};
use super::view::{Membership, NodeView};
use super::wire;
use crate::coherence::{
    Body, Config, Engine, Input, MemberNo, Message, PageId, Placement, SegmentId, Strict,
};

/// What one membership's pages are made of.
pub struct PagesConfig {
    pub rpc: Arc<Rpc>,
    pub files: Arc<Files>,
    pub cache: Arc<dyn KernelCache>,
    /// None by default.
    pub programs: Arc<dyn Programs>,
    pub membership: Arc<dyn Membership>,
    pub hold_min: Duration,
    /// Who becomes home; by default who touches first, while it has room.
    pub placement: Option<Arc<dyn Placement>>,
    /// Whether this machine's processors may be kept from sleeping while pages come and go.
    pub stays_awake: bool,
}

impl fmt::Debug for PagesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagesConfig").field("hold_min", &self.hold_min).finish_non_exhaustive()
    }
}

impl PagesConfig {
    pub fn new(
        rpc: &Arc<Rpc>,
        files: &Arc<Files>,
        cache: Arc<dyn KernelCache>,
        membership: Arc<dyn Membership>,
    ) -> Self {
        let (rpc, files) = (Arc::clone(rpc), Arc::clone(files));
        let programs = Arc::new(NoPrograms);
        let (hold_min, placement, stays_awake) = (HOLD_MIN, None, false);
        Self { rpc, files, cache, programs, membership, hold_min, placement, stays_awake }
    }
}

/// The pages of one membership.
pub struct Pages {
    pub(super) shards: Box<[Mutex<Shard>]>,
    pub(super) files: Arc<Files>,
    pub(super) peers: Peers,
    pub(super) timers: Timers,
    pub(super) cache: Arc<dyn KernelCache>,
    pub(super) programs: Arc<dyn Programs>,
    pub(super) membership: Arc<dyn Membership>,
    pub(super) revoker: Revoker,
    pub(super) settler: Revoker,
    pub(super) answerer: Revoker,
    pub(super) evicting: Evicting,
    pub(super) awake: Awake,
    pub(super) gate: Gate,
    pub(super) free: Arc<FreeMemory>,
    /// As many pages of zeros as one message carries.
    pub(super) zeros: RegionSlice,
    pub(super) rpc: Arc<Rpc>,
    /// Told whenever the kernel has let go of pages.
    pub(super) dropped: (Mutex<()>, Condvar),
    pub(super) metrics: Metrics,
    engine: Arc<Config>,
    ended: AtomicBool,
}

impl Pages {
    /// Registers with the endpoint, which has not been started.
    pub fn new(config: PagesConfig) -> Result<Arc<Self>, MemoryError> {
        let PagesConfig { rpc, files, cache, programs, membership, hold_min, placement, stays_awake } =
            config;
        let awake = if stays_awake { Awake::start(Arc::clone(rpc.fabric())) } else { Awake::never() };
        let free = Arc::new(FreeMemory::default());
        let placement = placement.unwrap_or_else(|| Arc::new(Roomy::new(&free)));
        let zeros = Region::new("scifs-zeros", PAGE_BYTES as u64)?.whole();
        let pages = Arc::new_cyclic(|pages| Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            files,
            peers: Peers::new(&rpc),
            timers: Timers::start(pages, Arc::clone(rpc.fabric())),
            revoker: Revoker::start("revoker", pages, cache.workers().saturating_sub(1)),
            settler: Revoker::start("settler", pages, 0),
            answerer: Revoker::start("answerer", pages, 0),
            evicting: Evicting::start(pages),
            awake,
            cache,
            programs,
            membership,
            gate: Gate::default(),
            free,
            zeros,
            engine: Arc::new(Config {
                hold_min,
                placement,
                protocol: Arc::new(Strict),
                #[cfg(feature = "mutations")]
                mutation: None,
            }),
            rpc: Arc::clone(&rpc),
            dropped: Default::default(),
            metrics: Metrics::default(),
            ended: AtomicBool::new(false),
        });
        rpc.serve(wire::KINDS, Arc::new(Ears(Arc::clone(&pages))));
        rpc.listen(Arc::new(Ears(Arc::clone(&pages))));
        pages.memory().set_evictor(pages.evicting.hook());
        Ok(pages)
    }

    pub fn memory(&self) -> &Arc<Memory> {
        self.files.memory()
    }

    pub fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// What members said about their free memory, which decides who becomes home of what.
    pub fn free_memory(&self) -> &Arc<FreeMemory> {
        &self.free
    }

    /// The members are these from now on. In the order of the membership's log, none left out.
    pub fn view(self: &Arc<Self>, view: &NodeView) {
        let Some(me) = view.number_of(self.rpc.fabric().id()) else { return };
        let roster = self.peers.view(view);
        let members = view.to_engine();
        let mut after = After::default();
        for number in 0..self.shards.len() {
            self.turn(number, None, &mut after, |turn| {
                if turn.shard.ended {
                    return;
                }
                turn.shard.roster = Arc::clone(&roster);
                if turn.shard.engine.is_some() {
                    turn.input(Input::View(members.clone()));
                } else {
                    let config = Arc::clone(&self.engine);
                    let (engine, effects) = Engine::new(MemberNo(me), config, members.clone());
                    turn.shard.engine = Some(engine);
                    effects.into_iter().for_each(|effect| turn.perform(effect));
                }
            });
            self.turn(number, None, &mut after, |turn| turn.hear_strangers());
        }
        self.finish(after);
        self.gate.begin();
        self.let_in();
    }

    /// One thread's turn with a shard.
    pub(super) fn turn<T>(
        &self,
        number: usize,
        carried: Option<(PageId, &[u8])>,
        after: &mut After,
        act: impl FnOnce(&mut Turn<'_>) -> T,
    ) -> Option<T> {
        let mut shard = self.shards.get(number)?.lock();
        let mut turn = Turn {
            pages: self,
            number,
            shard: &mut shard,
            now: self.now(),
            after,
            carried,
            next: Default::default(),
            freed: Vec::new(),
            file: None,
            filled: Default::default(),
        };
        let result = act(&mut turn);
        turn.end();
        Some(result)
    }

    /// One input, and everything that follows from it.
    pub(super) fn apply(self: &Arc<Self>, number: usize, input: Input) {
        let mut after = After::default();
        self.turn(number, None, &mut after, |turn| turn.input(input));
        self.finish(after);
    }

    /// Does what couldn't be done under the lock of a shard, and what follows from it.
    pub(super) fn finish(self: &Arc<Self>, mut after: After) {
        self.peers.dial_new();
        while !after.is_empty() {
            let this = std::mem::take(&mut after);
            this.finished.into_iter().for_each(|access| self.answer(access));
            for (access, page) in this.again {
                let (page, _) = access.file.chunk(page, page);
                self.ask(&access, page, 1, &mut after);
            }
            for read in this.read_again {
                self.ask_map(read, &mut after);
            }
            for fault in this.program_again {
                self.ask_for_program(fault, &mut after);
            }
            for node in this.distrusted {
                self.peers.disconnect(node);
            }
            if this.rejoin {
                self.membership.rejoin("a view of the cluster was skipped");
            }
            self.take_from_programs(this.program_drops, &mut after);
            self.revoke(this.drops, &mut after);
            self.set_timers(this.timers, &mut after);
            self.peers.dial_new();
        }
    }

    /// Who brought the last page of a long read has more to bring, so another thread copies the bytes to the kernel.
    fn answer(&self, access: Arc<Access>) {
        if access.is_long_read() && !self.cache.is_worker() {
            self.answerer.push(move |_| access.finish());
        } else {
            access.finish();
        }
    }

    /// A hold time that is nearly over is waited for here: that is sooner over than waking another thread would be.
    fn set_timers(&self, timers: Vec<(Nanos, usize, PageId)>, after: &mut After) {
        for (at, number, page) in timers {
            if at.since(self.now()) > WAIT_HERE_MAX {
                self.timers.set(at, number, page);
                continue;
            }
            while self.now() < at {
                std::hint::spin_loop();
            }
            self.turn(number, None, after, |turn| turn.input(Input::Timer { page }));
        }
    }

    /// How many departures this node was told of.
    pub fn epoch(&self) -> u64 {
        self.peers.epoch()
    }

    pub(super) fn now(&self) -> Nanos {
        self.rpc.fabric().now()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn set_ended(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// The message without what concerns segments that are gone; nothing if that was all.
    pub(super) fn without_gone(&self, mut message: Message) -> Option<Message> {
        let gone = |segment: SegmentId| self.files.is_gone(PageId { segment, index: 0 });
        match &mut message.body {
            Body::Report(report) | Body::Farewell(report) => {
                report.extents.retain(|known| !gone(known.extent.segment));
                report.pages.retain(|held| !gone(held.page.segment));
                Some(message)
            }
            Body::Heard => Some(message),
            _ => (!gone(message.page.segment)).then_some(message),
        }
    }

    fn hear(self: &Arc<Self>, node: NodeId, incoming: &Incoming<'_>) {
        let (message, body) = match incoming.decode_with_body::<Message>() {
            Ok(decoded) => decoded,
            Err(why) => return self.refuse(node, &why.to_string()),
        };
        if let Err(why) = wire::check_body(&message, body) {
            return self.refuse(node, &why.to_string());
        }
        let number = match message.body {
            Body::Report(_) | Body::Farewell(_) | Body::Heard => message.page.index as usize % SHARDS,
            _ => number_of(message.page.extent()),
        };
        self.awake.heard(self.now());
        let mut after = After::default();
        let carried = Some((message.page, body));
        self.turn(number, carried, &mut after, |turn| turn.message(node, message, body));
        self.finish(after);
    }

    fn refuse(&self, node: NodeId, why: &str) {
        tracing::warn!(%node, why, "a member sent a coherence message that cannot be read; closing its connection");
        self.peers.disconnect(node);
    }
}

impl Turn<'_> {
    /// Hears what nodes said before this shard knew them as members. Who still isn't one stays in line.
    fn hear_strangers(&mut self) {
        for Stranger { node, message } in std::mem::take(&mut self.shard.strangers) {
            self.message(node, message, &[]);
        }
    }
}

/// What the endpoint holds on to.
struct Ears(Arc<Pages>);

impl Service for Ears {
    fn request(&self, _: NodeId, message: Incoming<'_>, responder: Responder) {
        match message.kind {
            Census::KIND => answer(&message, responder, |census: &Census| self.0.count(census)),
            _ => answer(&message, responder, |survey: &Survey| self.0.touched(survey)),
        }
    }

    fn one_way(&self, peer: NodeId, message: Incoming<'_>) {
        match message.kind {
            Message::KIND => self.0.hear(peer, &message),
            kind => self.0.refuse(peer, &format!("{kind} is no kind of message about pages")),
        }
    }
}

impl Listener for Ears {
    fn up(&self, peer: NodeId, _: &str) {
        self.0.peers.went_up(peer);
    }

    fn down(&self, peer: NodeId, _: &DownReason) {
        self.0.peers.went_down(peer);
    }

    fn writable(&self, peer: NodeId) {
        self.0.peers.writable(peer);
    }

    fn tick(&self, now: Nanos) {
        if let Some(epoch) = self.0.peers.tick(now) {
            self.0.membership.report_break(epoch);
        }
        self.0.let_in();
        self.0.watch_memory();
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("peers", &self.peers).finish_non_exhaustive()
    }
}
