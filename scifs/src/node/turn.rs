//! One thread's turn with a shard: inputs go into its engine, and the effects are performed here, in order and under the
//! lock. What may wait or calls others is gathered in [`After`] and done by the same thread once the lock is free.

use std::collections::VecDeque;
use std::sync::Arc;

use scios::limits::PAGE_BYTES;
use scios::memory::RegionSlice;
use scios::{Nanos, NodeId};

use super::access::{Access, MapRead, Waiting};
use super::fault::PageFault;
use super::file::File;
use super::fill::{self, Filled};
use super::layout::inode_of;
use super::limits::{SPARE_FRAMES_MAX, STRANGERS_MAX};
use super::pages::Pages;
use super::programs::{Leaving, ProgramFault};
use super::shard::{Shard, Stranger};
use crate::coherence::{
    Body, Effect, Effects, Engine, Fault, Input, MapperId, MemberNo, Message, Mode, PageError, PageId, Token,
};

/// What is left to do when the shard is free again.
#[derive(Default)]
pub(super) struct After {
    pub(super) finished: Vec<Arc<Access>>,
    /// Pages of accesses that have to be asked for anew: their segment was cut off, or their frame was taken.
    pub(super) again: Vec<(Arc<Access>, u32)>,
    pub(super) read_again: Vec<MapRead>,
    pub(super) program_again: Vec<ProgramFault>,
    /// Pages that the kernel has to let go of; each is in its shard's `dropping`.
    pub(super) drops: Vec<PageId>,
    /// Pages that programs have to let go of.
    pub(super) program_drops: Vec<Leaving>,
    pub(super) distrusted: Vec<NodeId>,
    pub(super) timers: Vec<(Nanos, usize, PageId)>,
    pub(super) rejoin: bool,
}

impl After {
    pub(super) fn is_empty(&self) -> bool {
        self.finished.is_empty()
            && self.again.is_empty()
            && self.read_again.is_empty()
            && self.program_again.is_empty()
            && self.drops.is_empty()
            && self.program_drops.is_empty()
            && self.distrusted.is_empty()
            && self.timers.is_empty()
            && !self.rejoin
    }
}

pub(super) struct Turn<'a> {
    pub(super) pages: &'a Pages,
    pub(super) number: usize,
    pub(super) shard: &'a mut Shard,
    pub(super) now: Nanos,
    pub(super) after: &'a mut After,
    /// The message being handled and the bytes that came with it.
    pub(super) carried: Option<(PageId, &'a [u8])>,
    /// Inputs that effects lead to: they go in when all effects before are performed.
    pub(super) next: VecDeque<Input>,
    /// Pages whose frames are not needed any more, looked at again at the end of the turn.
    pub(super) freed: Vec<PageId>,
    pub(super) file: Option<Arc<File>>,
    pub(super) filled: Filled,
}

impl Turn<'_> {
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.shard.engine.as_ref()
    }

    /// Feeds the engine and performs what it says, and what follows from that.
    pub(super) fn input(&mut self, input: Input) {
        let mut input = Some(input);
        while let Some(next) = input {
            let Some(engine) = &mut self.shard.engine else { return };
            let lends = fill::lends(&next);
            let effects = engine.handle(self.now, next);
            self.fill_ahead(effects.as_slice(), lends);
            self.perform_all(effects);
            self.filled = Filled::default();
            input = self.next.pop_front();
        }
    }

    /// In order, but whoever waits here comes before others that only get word: a message without pages may go a little later,
    /// for as long as it overtakes no other and nothing but frames and waiting requests is touched meanwhile.
    fn perform_all(&mut self, effects: Effects) {
        let mut word = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { to, message } if !message.body.carries_pages() => word.push((to, message)),
                Effect::Fill { .. } | Effect::Zero { .. } | Effect::Install { .. } => self.perform(effect),
                _ => {
                    word.drain(..).for_each(|(to, message)| self.send(to, message));
                    self.perform(effect);
                }
            }
        }
        word.into_iter().for_each(|(to, message)| self.send(to, message));
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(to, message),
            Effect::Fill { page } => self.fill(page),
            Effect::Zero { page } => self.put(page, &[0; PAGE_BYTES]),
            Effect::Install { page, mapper, mode, token } => self.install(page, mapper, mode, token),
            Effect::Revoke { page, mapper } => self.revoke(page, mapper, None),
            Effect::Downgrade { page, mapper } => self.revoke(page, mapper, Some(Mode::Read)),
            Effect::Free { page } => self.freed.push(page),
            Effect::Failed { page, token, error } => self.fail(page, token, error),
            Effect::SetTimer { page, at } => self.after.timers.push((at, self.number, page)),
            Effect::Distrust { peer, page, why } => self.distrust(peer, page, &why.to_string()),
            Effect::Rejoin => self.after.rejoin = true,
        }
    }

    pub(super) fn file(&mut self, page: PageId) -> Option<Arc<File>> {
        let inode = inode_of(page);
        if let Some(file) = self.file.as_ref().filter(|file| file.inode() == inode) {
            return Some(Arc::clone(file));
        }
        self.file = self.pages.files.get_or_make(inode).ok();
        self.file.clone()
    }

    fn send(&mut self, to: MemberNo, mut message: Message) {
        let body = if message.body.carries_pages() { self.gather(&message) } else { Vec::new() };
        if matches!(message.body, Body::Report(_) | Body::Farewell(_) | Body::Heard) {
            // These are about the whole shard; this tells the receiver which.
            message.page.index = self.number as u32;
        }
        let Some(link) = self.shard.roster.link(to) else {
            tracing::debug!(?to, "a message for somebody who is no member any more");
            return;
        };
        self.pages.peers.send(link, message.epoch.0, &message, &body);
    }

    fn gather(&mut self, message: &Message) -> Vec<RegionSlice> {
        self.pages.metrics.pages_sent.add(u64::from(message.run));
        let zeros = &self.pages.zeros;
        let file = self.file(message.page);
        let frames = file.and_then(|file| file.gather(message.page, message.run, zeros));
        frames.unwrap_or_else(|| {
            tracing::error!(page = ?message.page, "a page to be sent has no frame");
            vec![zeros.clone(); usize::from(message.run)]
        })
    }

    pub(super) fn put(&mut self, page: PageId, bytes: &[u8]) {
        let Some(file) = self.file(page) else { return };
        if let Err(error) = file.memory().populate_obliged(u64::from(page.index)) {
            tracing::error!(%error, ?page, "a page came for which no memory was kept; it is taken in all the same");
        }
        file.touch(page, |frame| frame.write_from(bytes));
    }

    fn install(&mut self, page: PageId, mapper: MapperId, mode: Mode, token: Option<Token>) {
        let Some(token) = token else { return };
        if mapper == MapperId::FILE && mode == Mode::Read {
            let writable = match self.shard.waiting.get(token) {
                Some(Waiting::Map(read)) => read.file.has_writers(),
                _ => false,
            };
            if writable {
                // It was opened for writing after this was asked for.
                self.next.push_back(Input::Released { page, run: 1, mapper, left: None });
                self.next.push_back(Input::Fault(Fault {
                    page,
                    mapper,
                    mode: Mode::Write,
                    fresh: false,
                    run: 1,
                    token,
                }));
                return;
            }
        }
        match self.shard.waiting.take(token) {
            Some(Waiting::Map(read)) => self.answer(page, read),
            Some(Waiting::Program(fault)) => self.give_program(page, fault),
            Some(Waiting::Access(access)) => self.access(page, &access),
            Some(Waiting::Nobody) | None => {}
        }
    }

    /// Gives the kernel a page that the engine lets it have.
    pub(super) fn answer(&mut self, page: PageId, read: MapRead) {
        let mut bytes = [0; PAGE_BYTES];
        match read.file.touch(page, |frame| frame.read_to(&mut bytes)) {
            Some(()) => {
                self.pages.metrics.fault_ended(read.began, read.local);
                (read.done)(Ok(&bytes));
            }
            None => {
                self.next.push_back(Input::Released { page, run: 1, mapper: MapperId::FILE, left: None });
                self.after.read_again.push(read);
            }
        }
    }

    /// Does the part of an access that concerns this page. The engine lets it.
    pub(super) fn access(&mut self, page: PageId, access: &Arc<Access>) {
        let done = match self.as_it_came(page).filter(|_| access.mode == Mode::Read) {
            Some(bytes) => access.file.touch(page, |_| access.read_from(page.index, bytes)),
            None => access.file.touch(page, |frame| access.copy(page.index, frame)),
        };
        match done {
            Some(()) if access.is_last_part() => self.after.finished.push(Arc::clone(access)),
            Some(()) => {}
            None => self.after.again.push((Arc::clone(access), page.index)),
        }
    }

    /// The kernel can't be left with reading: it gives the page up.
    fn revoke(&mut self, page: PageId, mapper: MapperId, left: Option<Mode>) {
        let stale = self.file(page).is_some_and(|file| !file.is_current(page));
        if mapper == MapperId::FILE && !stale {
            // If it is being dropped already, for another reason, whoever does that answers.
            if let std::collections::hash_map::Entry::Vacant(entry) = self.shard.dropping.entry(page) {
                entry.insert(false);
                self.after.drops.push(page);
            }
        } else if mapper == MapperId::VM && !stale {
            self.revoke_from_programs(page, left);
        } else {
            // Nobody looks at a page any more that was cut off, so the kernel need not hurry with it.
            self.next.push_back(Input::Released { page, run: 1, mapper, left: None });
        }
    }

    fn fail(&mut self, page: PageId, token: Token, error: PageError) {
        if let Some(waiting) = self.shard.waiting.take(token) {
            self.fail_waiting(waiting, error.into());
        }
        self.freed.push(page);
    }

    pub(super) fn fail_waiting(&mut self, waiting: Waiting, fault: PageFault) {
        match waiting {
            Waiting::Map(read) => (read.done)(Err(fault)),
            Waiting::Program(program) => (program.done)(Err(fault)),
            Waiting::Access(access) => {
                access.fail(fault);
                if access.is_last_part() {
                    self.after.finished.push(access);
                }
            }
            Waiting::Nobody => {}
        }
    }

    fn distrust(&mut self, peer: MemberNo, page: PageId, why: &str) {
        let Some(link) = self.shard.roster.link(peer) else { return };
        self.pages.metrics.distrusted.increment();
        tracing::warn!(node = %link.node, ?page, why, "a member broke the coherence protocol; closing its connection");
        self.after.distrusted.push(link.node);
    }

    /// What another node says. Of nodes that are no members yet it is kept until they are.
    pub(super) fn message(&mut self, node: NodeId, message: Message, body: &[u8]) {
        if self.shard.ended {
            return;
        }
        let from = self.shard.roster.number(node).filter(|_| self.shard.engine.is_some());
        let Some(from) = from else { return self.keep(node, message, body) };
        let Some(link) = self.shard.roster.link(from) else { return };
        if self.pages.peers.is_cut_off(link, message.epoch.0) {
            return;
        }
        let Some(message) = self.pages.without_gone(message) else { return };
        let brings = matches!(message.body, Body::Put | Body::Take);
        if brings && !self.has_room_for(&message) {
            return;
        }
        let (first, run) = (message.page, u32::from(message.run));
        self.input(Input::Message { from, message });
        if brings {
            self.freed.extend((0..run).filter_map(|n| first.ahead(n)));
        }
    }

    fn keep(&mut self, node: NodeId, message: Message, body: &[u8]) {
        // A member of that epoch would have been in one of the views that this shard has seen: it has left.
        if self.engine().is_some_and(|engine| message.epoch < engine.epoch()) {
            return;
        }
        // Pages are only given to who asked for them.
        if self.shard.strangers.len() >= STRANGERS_MAX || !body.is_empty() {
            tracing::warn!(%node, "a node that is no member says too much; closing its connection");
            self.after.distrusted.push(node);
            return;
        }
        self.shard.strangers.push_back(Stranger { node, message });
    }

    /// Whether this node can take in the pages of a hint, as their home or because their holder leaves. If not, the hint is ignored:
    /// it will be given again. What is kept for readers isn't taken: such a page would stay.
    fn has_room_for(&mut self, hint: &Message) -> bool {
        let Some(file) = self.file(hint.page) else { return false };
        let crowded = self.pages.is_crowded();
        (0..u32::from(hint.run)).filter_map(|n| hint.page.ahead(n)).all(|page| {
            let at = u64::from(page.index);
            if crowded {
                // What this home has anyway costs nothing, unless it has it only for as long as others do.
                let surplus = self.engine().is_some_and(|engine| engine.is_surplus_at_home(page));
                return file.memory().is_resident(at) && !surplus;
            }
            let room = if hint.body == Body::Put {
                file.memory().populate_obliged(at)
            } else {
                file.memory().try_populate(at)
            };
            room.is_ok()
        })
    }

    /// Frames that no page needs any more are kept for a moment: a page that is fought for comes back at once.
    pub(super) fn end(&mut self) {
        for page in std::mem::take(&mut self.freed) {
            self.shard.spare.push(page);
        }
        while self.shard.spare.len() > SPARE_FRAMES_MAX {
            self.release_spare();
        }
    }

    /// False when there is none.
    pub(super) fn release_spare(&mut self) -> bool {
        let Some(page) = self.shard.spare.pop() else { return false };
        let unused = self.engine().is_none_or(|engine| engine.page(page).is_none());
        if unused && let Some(file) = self.pages.files.get(inode_of(page)) {
            file.release(page);
        }
        true
    }
}
