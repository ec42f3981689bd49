//! What becomes of files and of the membership, as far as pages are concerned.

use std::sync::Arc;
use std::time::Duration;

use super::access::Waiting;
use super::fault::PageFault;
use super::file::{FILE_PAGES, File};
use super::layout::{self, Layout, segment};
use super::pages::Pages;
use super::revoker::{Run, join};
use super::turn::{After, Turn};
use crate::coherence::{MapperId, Mode, PageId, SegmentId};

/// How long a look at the pages that others take from the kernel may be late.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

impl Pages {
    /// The file, from now on known to this node.
    pub fn file(&self, inode: u64) -> Result<Arc<File>, PageFault> {
        self.files.get_or_make(inode)
    }

    /// A handle that may write was opened on this node. When this returns, the kernel has no page of the file that it may only
    /// read: it doesn't say when a process writes to one. Waits for the kernel, so not from a worker.
    pub fn begin_writing(self: &Arc<Self>, file: &Arc<File>) {
        let _one_at_a_time = file.opening.lock();
        if file.add_writer() {
            let readable = |mapper, mode| mapper == MapperId::FILE && mode == Mode::Read;
            self.drop_mapped(layout::segments(file.inode()), readable);
        }
    }

    pub fn end_writing(&self, file: &File) {
        file.remove_writer();
    }

    /// The file's pages belong to other segments from now on, and its size is another one. The kernel's copies of before are for
    /// the caller to drop.
    pub fn relayout(self: &Arc<Self>, file: &Arc<File>, layout: &Layout, size: u64) {
        let (before, changes) = file.relayout(layout);
        file.set_size(size);
        if changes.is_empty() {
            return;
        }
        let mut gone: Vec<_> = before.pieces().iter().map(|piece| piece.generation).collect();
        gone.retain(|generation| !layout.has(*generation));
        let mut after = After::default();
        for number in 0..self.shards.len() {
            self.turn(number, None, &mut after, |turn| {
                for generation in &gone {
                    let segment = segment(file.inode(), *generation);
                    turn.forget(segment..=segment, None);
                }
            });
        }
        self.finish(after);
    }

    /// The file was deleted: what this node holds of it goes. Nobody here has it open, except from a membership before.
    pub fn forget(self: &Arc<Self>, inode: u64) {
        if let Some(file) = self.files.remove(inode) {
            file.set_gone();
        }
        let mut after = After::default();
        for number in 0..self.shards.len() {
            let all = layout::segments(inode);
            self.turn(number, None, &mut after, |turn| turn.forget(all, Some(PageFault::Gone)));
        }
        self.finish(after);
    }

    /// This node may act: what waited goes on.
    pub fn serve(self: &Arc<Self>) {
        self.gate.set_open(true);
        self.let_in();
    }

    /// This node must not act until it is told to serve again: requests wait, and the kernel gets rid of its copies. Doesn't wait.
    pub fn isolate(self: &Arc<Self>) {
        self.gate.set_open(false);
        self.settler.push(|pages| pages.drop_mapped(SegmentId(0)..=SegmentId(u64::MAX), |_, _| true));
    }

    /// The membership has ended: every request fails, and nothing is sent any more. Doesn't wait; `wipe` does the rest.
    pub fn end(self: &Arc<Self>) {
        if !self.set_ended() {
            return;
        }
        let mut after = After::default();
        for number in 0..self.shards.len() {
            self.turn(number, None, &mut after, |turn| {
                turn.shard.ended = true;
                turn.shard.engine = None;
                turn.shard.strangers.clear();
                turn.shard.spare.clear();
                for waiting in turn.shard.waiting.take_all() {
                    turn.fail_waiting(waiting, PageFault::Ended);
                }
            });
        }
        self.finish(after);
        self.let_in();
        self.evicting.stop();
        self.timers.stop();
        self.awake.stop();
    }

    /// After `end` and before another membership uses the files: the kernel drops its copies, and all frames are given back. Waits
    /// for the kernel, so not from a worker or a receiver.
    pub fn wipe(self: &Arc<Self>) {
        self.end();
        for file in self.files.all() {
            self.cache.drop_pages(file.inode(), 0, FILE_PAGES * scios::limits::PAGE_BYTES as u64);
            file.reset();
        }
        self.revoker.stop();
        self.settler.stop();
        self.answerer.stop();
    }

    /// Takes pages of these segments from the kernel and from programs that have them in such a way, and waits until they have none.
    pub(super) fn drop_mapped(
        self: &Arc<Self>,
        segments: std::ops::RangeInclusive<SegmentId>,
        how: impl Fn(MapperId, Mode) -> bool,
    ) {
        let first = PageId { segment: *segments.start(), index: 0 };
        let last = PageId { segment: *segments.end(), index: u32::MAX };
        loop {
            let mut after = After::default();
            let (mut runs, mut others): (Vec<Run>, bool) = (Vec::new(), false);
            let mut programs = Vec::new();
            for number in 0..self.shards.len() {
                let found = self.turn(number, None, &mut after, |turn| {
                    let found = turn.mapped(first..=last, &how);
                    turn.mark_dropping(&found.unmarked);
                    found
                });
                let Some(found) = found else { continue };
                others |= found.others;
                programs.extend(found.programs);
                runs.extend(join(found.unmarked));
            }
            let none = runs.is_empty() && programs.is_empty();
            self.drop_from_programs(programs, &mut after);
            for run in runs {
                self.take_from_kernel(run, &mut after);
            }
            self.finish(after);
            if none && !others {
                return;
            }
            if none {
                // Somebody else is taking what is left.
                self.dropped.1.wait_for(&mut self.dropped.0.lock(), LOOK_AGAIN);
            }
        }
    }

    pub(super) fn note_dropped(&self) {
        self.dropped.1.notify_all();
    }
}

/// Pages that the kernel or programs have.
pub(super) struct Mapped {
    pub(super) programs: Vec<PageId>,
    pub(super) unmarked: Vec<PageId>,
    /// There are more, which somebody is taking from the kernel already.
    pub(super) others: bool,
}

impl Turn<'_> {
    fn mapped(
        &self,
        range: std::ops::RangeInclusive<PageId>,
        how: impl Fn(MapperId, Mode) -> bool,
    ) -> Mapped {
        let mut mapped = Mapped { programs: Vec::new(), unmarked: Vec::new(), others: false };
        let pages = self.engine().into_iter().flat_map(|engine| engine.pages_in(range.clone()));
        let maps = |mappers: &[(MapperId, Mode)], who: MapperId| {
            mappers.iter().any(|(mapper, mode)| *mapper == who && how(*mapper, *mode))
        };
        for page in pages {
            if maps(page.mappers, MapperId::VM) {
                mapped.programs.push(page.page);
            }
            if !maps(page.mappers, MapperId::FILE) {
                continue;
            }
            if self.shard.dropping.contains_key(&page.page) {
                mapped.others = true;
            } else {
                mapped.unmarked.push(page.page);
            }
        }
        mapped
    }

    fn mark_dropping(&mut self, pages: &[PageId]) {
        self.shard.dropping.extend(pages.iter().map(|page| (*page, false)));
    }

    /// What waited for pages of these segments asks anew, or fails.
    fn forget(&mut self, segments: std::ops::RangeInclusive<SegmentId>, fault: Option<PageFault>) {
        let Some(engine) = &mut self.shard.engine else { return };
        for (page, token) in engine.forget(segments) {
            let Some(waiting) = self.shard.waiting.take(token) else { continue };
            match (waiting, fault) {
                (waiting, Some(fault)) => self.fail_waiting(waiting, fault),
                (Waiting::Access(access), None) => self.after.again.push((access, page.index)),
                (Waiting::Map(read), None) => self.after.read_again.push(read),
                (Waiting::Program(fault), None) => self.after.program_again.push(fault),
                (Waiting::Nobody, None) => {}
            }
        }
    }
}
