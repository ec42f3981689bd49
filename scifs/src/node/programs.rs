//! Programs that map a file's frames themselves, as one mapper of the engine: whichever program has the page, what it may do with it is
//! what this node's programs together may do. Among themselves they share the frame, so the machine keeps them coherent.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::access::Waiting;
use super::fault::PageFault;
use super::file::File;
use super::layout::inode_of;
use super::pages::Pages;
use super::revoker::{Run, join};
use super::shard::number_of;
use super::turn::{After, Turn};
use crate::coherence::{Fault, Input, MapperId, Mode, PageId};

/// The programs that are attached to this node.
pub trait Programs: Send + Sync + 'static {
    /// From now on no program can write to these pages, until one is given to it anew. Waits for a short time, with no lock held.
    fn protect(&self, inode: u64, first: u32, pages: u32);

    /// Whether any program may have the page mapped.
    fn have(&self, inode: u64, page: u32) -> bool;

    /// The page's frame was taken from all programs.
    fn forget(&self, inode: u64, page: u32);
}

/// For a node that no program is attached to.
#[derive(Clone, Copy, Debug)]
pub struct NoPrograms;

impl Programs for NoPrograms {
    fn protect(&self, _: u64, _: u32, _: u32) {}

    fn have(&self, _: u64, _: u32) -> bool {
        false
    }

    fn forget(&self, _: u64, _: u32) {}
}

/// What programs may do with a run of pages that begins with the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub mode: Mode,
    pub pages: u32,
}

pub(super) type ProgramDone = Box<dyn FnOnce(Result<Granted, PageFault>) + Send>;

/// A program waits for a page.
pub(super) struct ProgramFault {
    pub(super) file: Arc<File>,
    pub(super) page: u32,
    pub(super) mode: Mode,
    /// Pages from this one on that it may be given if they are here.
    pub(super) pages_max: u32,
    pub(super) began: Instant,
    /// It was answered at once, from what is here.
    pub(super) local: bool,
    pub(super) done: ProgramDone,
}

/// Pages to be taken from programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) page: PageId,
    /// What they may still do with it.
    pub(super) left: Option<Mode>,
    /// Some of them may be writing to it.
    pub(super) written: bool,
}

impl Pages {
    /// A page for programs, and those that follow it up to `pages_max` as far as they are here. `done` runs once, under the lock of the page's shard: it maps the page's frame as it is told, at once, and
    /// calls nothing of this folder.
    pub fn map_for_program(
        self: &Arc<Self>,
        file: &Arc<File>,
        (page, pages_max): (u32, u32),
        mode: Mode,
        done: impl FnOnce(Result<Granted, PageFault>) + Send + 'static,
    ) {
        let (file, began, done) = (Arc::clone(file), Instant::now(), Box::new(done));
        let ahead = file.ahead.lock().read(page, 1);
        let fault = ProgramFault { file: Arc::clone(&file), page, mode, pages_max, began, local: true, done };
        self.when_open(move |pages| {
            let mut after = After::default();
            pages.ask_for_program(fault, &mut after);
            pages.finish(after);
        });
        self.fetch_ahead(&file, ahead, mode);
    }

    pub(super) fn ask_for_program(self: &Arc<Self>, fault: ProgramFault, after: &mut After) {
        let (page, _) = fault.file.chunk(fault.page, fault.page);
        let (memory, index) = (fault.file.memory(), u64::from(fault.page));
        let fits = (!self.is_crowded_for(page, fault.mode) || memory.is_resident(index))
            && memory.populate(index).is_ok();
        if !fits {
            return self.park_program((page, fault.mode), fault);
        }
        self.turn(number_of(page.extent()), None, after, |turn| turn.ask_for_program(page, fault));
    }

    fn park_program(self: &Arc<Self>, wanted: (PageId, Mode), fault: ProgramFault) {
        let waiting = Arc::new(Mutex::new(Some(fault)));
        let parked = Arc::clone(&waiting);
        let again = move |pages: &Arc<Self>, room: bool| {
            let Some(fault) = parked.lock().take() else { return };
            if !room {
                return (fault.done)(Err(PageFault::Full));
            }
            let mut after = After::default();
            pages.ask_for_program(fault, &mut after);
            pages.finish(after);
        };
        if !self.evicting.park(wanted, Box::new(again))
            && let Some(fault) = waiting.lock().take()
        {
            (fault.done)(Err(PageFault::Full));
        }
    }

    /// Takes pages from programs that the engine wants back.
    pub(super) fn take_from_programs(&self, mut leaving: Vec<Leaving>, after: &mut After) {
        leaving.sort_unstable_by_key(|leaving| leaving.page);
        let alike = |a: &Leaving, b: &Leaving| {
            a.page.ahead(1) == Some(b.page) && a.left == b.left && a.written == b.written
        };
        for run in leaving.chunk_by(alike) {
            let Some(first) = run.first() else { continue };
            let pages = Run { first: first.page, pages: run.len() as u16 };
            let begun = tracing::enabled!(target: "scifs::fault", tracing::Level::TRACE).then(Instant::now);
            if first.written {
                self.programs.protect(inode_of(first.page), first.page.index, u32::from(pages.pages));
            }
            let protected = begun.map(|begun| begun.elapsed());
            let number = number_of(first.page.extent());
            self.turn(number, None, after, |turn| turn.leave_programs(pages, first.left));
            if let (Some(begun), Some(protect)) = (begun, protected) {
                let unmap = begun.elapsed() - protect;
                tracing::trace!(target: "scifs::fault", ?pages, left = ?first.left, ?protect, ?unmap, "taken from programs");
            }
        }
    }

    /// Takes pages from programs that the engine has not asked for, also while they are given new ones.
    pub(super) fn drop_from_programs(&self, pages: Vec<PageId>, after: &mut After) {
        for run in join(pages) {
            let number = number_of(run.first.extent());
            let all = || (0..u32::from(run.pages)).filter_map(|n| run.first.ahead(n));
            // Until it is over nothing is mapped that was protected here.
            self.turn(number, None, after, |turn| turn.shard.withheld.extend(all()));
            self.programs.protect(inode_of(run.first), run.first.index, u32::from(run.pages));
            self.turn(number, None, after, |turn| {
                turn.leave_programs(run, None);
                turn.shard.withheld.retain(|page| !all().any(|dropped| dropped == *page));
            });
        }
    }
}

impl Turn<'_> {
    /// What programs may do with a page.
    pub(super) fn program_mode(&self, page: PageId) -> Option<Mode> {
        let view = self.engine()?.page(page)?;
        view.mappers.iter().find(|(mapper, _)| *mapper == MapperId::VM).map(|(_, mode)| *mode)
    }

    pub(super) fn ask_for_program(&mut self, page: PageId, fault: ProgramFault) {
        let Some(engine) = self.engine() else { return (fault.done)(Err(PageFault::Ended)) };
        if engine.is_open(page, MapperId::VM, fault.mode) {
            self.open_to_programs(page, fault.mode);
            return self.give_run(page, fault);
        }
        if !fault.file.is_current(page) || !fault.file.memory().is_resident(u64::from(page.index)) {
            return self.after.program_again.push(fault);
        }
        self.pages.metrics.faults.increment();
        let mode = fault.mode;
        let token = self.shard.waiting.put(Waiting::Program(fault));
        self.input(Input::Fault(Fault { page, mapper: MapperId::VM, mode, fresh: false, run: 1, token }));
        if let Some(Waiting::Program(fault)) = self.shard.waiting.get_mut(token) {
            fault.local = false;
        }
    }

    /// Has the engine let programs have a page that is open to them.
    fn open_to_programs(&mut self, page: PageId, mode: Mode) {
        if self.program_mode(page) < Some(mode) {
            let token = self.shard.waiting.put(Waiting::Nobody);
            self.input(Input::Fault(Fault { page, mapper: MapperId::VM, mode, fresh: false, run: 1, token }));
        }
    }

    /// Lets a program have a page that is open to programs, and those that follow it and are open too.
    fn give_run(&mut self, page: PageId, fault: ProgramFault) {
        let mode = self.program_mode(page);
        let mut pages = 1;
        while pages < fault.pages_max
            && let Some(next) = page.ahead(pages)
            && self.engine().is_some_and(|engine| engine.is_open(next, MapperId::VM, fault.mode))
            && fault.file.is_current(next)
            && !self.shard.withheld.contains(&next)
        {
            self.open_to_programs(next, fault.mode);
            if self.program_mode(next) != mode {
                break;
            }
            pages += 1;
        }
        fault.file.ahead.lock().got(fault.page, pages);
        self.give(page, fault, pages);
    }

    /// Lets a program have a page that the engine lets it have.
    pub(super) fn give_program(&mut self, page: PageId, fault: ProgramFault) {
        self.give(page, fault, 1);
    }

    fn give(&mut self, page: PageId, fault: ProgramFault, pages: u32) {
        let mode = self.program_mode(page).unwrap_or(fault.mode);
        if self.shard.withheld.contains(&page) {
            return (fault.done)(Err(PageFault::Busy));
        }
        match fault.file.touch(page, |_| Ok(())) {
            Some(()) => {
                self.pages.metrics.fault_ended(fault.began, fault.local);
                (fault.done)(Ok(Granted { mode, pages }));
            }
            None => {
                self.next.push_back(Input::Released { page, run: 1, mapper: MapperId::VM, left: None });
                self.after.program_again.push(fault);
            }
        }
    }

    /// The engine wants a page back from programs.
    pub(super) fn revoke_from_programs(&mut self, page: PageId, left: Option<Mode>) {
        let written = self.program_mode(page) == Some(Mode::Write);
        if self.pages.programs.have(inode_of(page), page.index) {
            self.after.program_drops.push(Leaving { page, left, written });
        } else {
            self.next.push_back(Input::Released { page, run: 1, mapper: MapperId::VM, left });
        }
    }

    /// Programs can't write to these pages any more; if nothing is left to them, they can't read them from now on either.
    fn leave_programs(&mut self, run: Run, left: Option<Mode>) {
        let inode = inode_of(run.first);
        if left.is_none()
            && let Some(file) = self.pages.files.get(inode)
        {
            for page in (0..u32::from(run.pages)).filter_map(|n| run.first.ahead(n)) {
                if self.pages.programs.have(inode, page.index) {
                    file.unmap(page);
                    self.pages.programs.forget(inode, page.index);
                }
            }
            self.pages.metrics.pages_revoked.add(u64::from(run.pages));
        }
        self.input(Input::Released { page: run.first, run: run.pages, mapper: MapperId::VM, left });
    }
}
