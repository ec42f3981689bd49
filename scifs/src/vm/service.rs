//! The parts, and what becomes of a page fault.
//!
//! ```text
//!  events thread:  read ─▶ find the page ─▶ Pages::map_for_program ─▶ engine ─▶ (others) ─▶ Install
//!                                                                                     │ any thread, under the shard's lock
//!  the program goes on ◀── CONTINUE or WRITEPROTECT ◀────────────────── answer ◀──────┘
//! ```
//!
//! Locks, in the order in which they are taken: a shard, a process, the table. Nobody waits with one of them.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use scifs_client::abi;
use scios::limits::PAGE_BYTES;
use scios::metrics::Registry;
use thiserror::Error;

use super::events::{self, Events, Job};
use super::keeper::{Keeper, Told};
use super::limits::{AGAIN_AFTER, GROW_FOR, HEAL_PAGES_MAX, PATIENCE, PROTECT_FOR};
use super::metrics::Metrics;
use super::process::{Given, News, Process, Shared};
use super::ranges::Place;
use super::socket;
use super::table::Table;
use super::tickets::Tickets;
use super::uffd::{PageFault, Userfault};
use super::upward::Upward;
use crate::coherence::Mode;
use crate::fuse::files::{Attaching, Wanted};
use crate::node::{self, Granted, Programs};

/// Where the stages of every fault are told, for whoever wants to know where the time goes.
const TRACE: &str = "scifs::fault";

#[derive(Debug, Error)]
pub enum VmError {
    #[error("cannot watch programs that share memory: {0}; is the limit of open files (ulimit -n) reached?")]
    Watch(Errno),
    #[error("cannot open the socket for programs that share memory: {0}")]
    Socket(Errno),
    #[error("cannot start a thread for programs that share memory: {0}")]
    Thread(std::io::Error),
}

/// Serves the programs of this node. Its threads end soon after it is dropped.
pub struct Vm {
    up: Box<dyn Upward>,
    events: Arc<Events>,
    table: Table,
    keeper: Keeper,
    pub(super) tickets: Tickets<Shared>,
    socket: abi::Name,
    metrics: Metrics,
    me: Weak<Self>,
}

impl Vm {
    pub fn start(up: Box<dyn Upward>) -> Result<Arc<Self>, VmError> {
        let events = Arc::new(Events::new().map_err(VmError::Watch)?);
        let (listener, name) = socket::listen().map_err(VmError::Socket)?;
        let vm = Arc::new_cyclic(|me| Self {
            up,
            events: Arc::clone(&events),
            table: Table::default(),
            keeper: Keeper::default(),
            tickets: Tickets::default(),
            socket: name,
            metrics: Metrics::default(),
            me: Weak::clone(me),
        });
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).map(drop).map_err(VmError::Thread)
        };
        let me = Arc::downgrade(&vm);
        spawn("programs", Box::new(move || events::run(&me, &events)))?;
        let me = Arc::downgrade(&vm);
        spawn("attach", Box::new(move || socket::serve(&me, listener)))?;
        Ok(vm)
    }

    /// Shows what is counted among a node's metrics.
    pub fn show(&self, registry: &Registry) {
        self.metrics.show(registry);
    }

    /// A program has come.
    pub(super) fn adopt(&self, uffd: Userfault, thread: u32) -> Result<Arc<Process>, Errno> {
        let process = Process::new(self.table.next_number(), uffd, thread);
        self.keeper.start()?;
        self.keeper.tell(Told::Process, process.number, Some(process.as_fd()))?;
        self.events.watch(&process)?;
        self.table.add(&process, &[]);
        Ok(process)
    }

    pub(super) fn programs_count(&self) -> usize {
        self.table.count()
    }

    pub(super) fn announce(&self, process: &Arc<Process>, shared: Shared) -> Result<(), Errno> {
        let inode = shared.file.inode();
        if self.table.link(process, inode)
            && let Err(error) = self.keeper.tell(Told::File, inode, Some(shared.file.memory().file()))
        {
            self.table.unlink(process.number, inode);
            return Err(error);
        }
        process.announce(shared);
        // It may have been killed and dropped meanwhile; nobody would drop it again.
        if self.table.get(process.number).is_none() {
            process.end().into_iter().for_each(|inode| self.unlink(process, inode));
            return Err(Errno::SRCH);
        }
        Ok(())
    }

    fn unlink(&self, process: &Process, inode: u64) {
        if self.table.unlink(process.number, inode)
            && let Err(error) = self.keeper.tell(Told::FileGone, inode, None)
        {
            tracing::warn!(%error, inode, "the keeper goes on holding a file that nobody shares");
        }
    }

    pub(super) fn look_at(&self, number: u64) {
        if let Some(process) = self.table.get(number) {
            let faults = self.read(&process);
            faults.into_iter().for_each(|fault| self.serve(&process, fault));
        }
    }

    /// Takes note of what has happened to a process; gives its faults.
    pub(super) fn read(&self, process: &Arc<Process>) -> Vec<PageFault> {
        let mut faults = Vec::new();
        let read = process.read(
            || self.table.next_number(),
            |news| {
                let News { faults: new, children, left } = news;
                faults = new;
                left.iter().for_each(|inode| self.unlink(process, *inode));
                children.iter().for_each(|child| self.take_in(child));
            },
        );
        if let Err(error) = read {
            // Too many open files, so that a child's descriptor found no place: it is tried again, and its parent waits.
            tracing::warn!(%error, "what happened to a program that shares memory cannot be read");
            std::thread::sleep(Duration::from_millis(1));
        }
        faults
    }

    /// As `read`, on a thread that serves no faults.
    pub(super) fn read_aside(&self, process: &Arc<Process>) {
        let faults = self.read(process);
        if !faults.is_empty() {
            self.events.push(Job::Serve(Arc::clone(process), faults), Duration::ZERO);
        }
    }

    fn take_in(&self, child: &Arc<Process>) {
        self.table.add(child, &child.inodes());
        if let Err(error) = self.keeper.tell(Told::Process, child.number, Some(child.as_fd())) {
            tracing::error!(%error, "a child of a program that shares memory would not learn of the daemon's death");
        }
        if let Err(error) = self.events.watch(child) {
            tracing::error!(%error, "a child of a program that shares memory can't be watched; it will wait for ever");
        }
    }

    pub(super) fn work(&self, job: Job) {
        match job {
            Job::Serve(process, faults) => faults.into_iter().for_each(|fault| self.serve(&process, fault)),
            Job::Retry(process, address) => {
                self.metrics.again.increment();
                let faults = self.read(&process);
                faults.into_iter().for_each(|fault| self.serve(&process, fault));
                process.wake(address);
            }
            Job::Sweep => self.sweep(),
        }
    }

    fn retry(&self, process: &Arc<Process>, address: u64, after: Duration) {
        self.events.push(Job::Retry(Arc::clone(process), address), after);
    }

    pub(super) fn sweep_soon(&self) {
        self.events.push(Job::Sweep, Duration::ZERO);
    }

    /// Looks who has ended, and what may be had by now.
    pub(super) fn sweep(&self) {
        self.tickets.expire();
        for process in self.table.all() {
            if !process.is_alive() {
                self.drop_process(&process);
                continue;
            }
            for fault in process.poisoned(None, HEAL_PAGES_MAX) {
                // What lies behind the end is asked for when the file has grown.
                let inside = |(place, shared): &(Place, Shared)| is_inside(place.page, shared.file.size());
                if let Some((place, shared)) = process.find(fault.address).filter(inside) {
                    self.ask(&process, fault, (place, 1), shared);
                }
            }
        }
    }

    fn drop_process(&self, process: &Process) {
        if let Some(process) = self.table.remove(process.number) {
            self.events.unwatch(&process);
            process.end().into_iter().for_each(|inode| self.unlink(&process, inode));
            if let Err(error) = self.keeper.tell(Told::ProcessGone, process.number, None) {
                tracing::warn!(%error, "the keeper goes on holding a program that has ended");
            }
        }
    }

    fn serve(&self, process: &Arc<Process>, fault: PageFault) {
        self.metrics.faults.increment();
        let Some((place, shared, pages)) = process.touched(fault.address) else {
            return self.learn(process, fault);
        };
        if is_inside(place.page, shared.file.size()) {
            return self.ask(process, fault, (place, pages), shared);
        }
        let (vm, file, waits) = (self.me.clone(), Arc::clone(&shared.file), Arc::clone(process));
        let process = Arc::clone(process);
        let done = move |size: Result<u64, Errno>| {
            let Some(vm) = vm.upgrade() else { return };
            match size {
                Ok(size) if is_inside(place.page, size) => vm.ask(&process, fault, (place, 1), shared),
                Ok(_) => vm.poison(&process, fault.address),
                Err(_) => vm.put_off(&process, fault.address),
            }
        };
        if !self.up.ask_size(&file, Box::new(done)) {
            self.put_off(&waits, fault.address);
        }
    }

    fn learn(&self, process: &Arc<Process>, fault: PageFault) {
        match process.learn(&fault) {
            Ok(true) => self.serve(process, fault),
            Ok(false) => self.put_off(process, fault.address),
            Err(Errno::AGAIN) => self.retry(process, fault.address, Duration::ZERO),
            Err(_) => self.put_off(process, fault.address),
        }
    }

    fn ask(
        &self,
        process: &Arc<Process>,
        fault: PageFault,
        (place, pages_max): (Place, u32),
        shared: Shared,
    ) {
        let Some(pages) = self.up.pages() else { return self.put_off(process, fault.address) };
        let (vm, process, mode) = (self.me.clone(), Arc::clone(process), mode_of(&fault));
        let file = Arc::clone(&shared.file);
        let asked = tracing::enabled!(target: TRACE, tracing::Level::TRACE).then(Instant::now);
        pages.map_for_program(&file, (place.page, pages_max), mode, move |result| {
            if let Some(vm) = vm.upgrade() {
                let granted = asked.map(|_| Instant::now());
                vm.answer(&process, fault, place, &shared, result);
                if let (Some(asked), Some(granted)) = (asked, granted) {
                    let (wait, map) = (granted - asked, granted.elapsed());
                    tracing::trace!(target: TRACE, ?place, ?mode, ?wait, ?map, "a fault of a program");
                }
            }
        });
    }

    /// Under the lock of the page's shard.
    fn answer(
        &self,
        process: &Arc<Process>,
        fault: PageFault,
        place: Place,
        shared: &Shared,
        result: Result<Granted, node::PageFault>,
    ) {
        use node::PageFault as Why;
        match result {
            Ok(Granted { mode, pages }) => {
                let how = (mode == Mode::Write, pages);
                let mut given = process.give(place, &fault, how);
                if given == Given::NoFrame && touch(shared, place.page) {
                    given = process.give(place, &fault, how);
                }
                if mode == Mode::Write {
                    self.up.written(place.inode);
                }
                self.after(process, fault.address, given);
            }
            Err(Why::Busy | Why::Ended) => self.put_off(process, fault.address),
            Err(why) => {
                tracing::debug!(%why, ?place, "a program gets SIGBUS for a page");
                self.poison(process, fault.address);
            }
        }
    }

    fn after(&self, process: &Arc<Process>, address: u64, given: Given) {
        match given {
            Given::Done => {}
            Given::Again => self.retry(process, address, Duration::ZERO),
            Given::Moved => process.wake(address),
            Given::NoFrame => self.put_off(process, address),
            Given::Gone => self.sweep_soon(),
        }
    }

    /// Has it tried again a little later, but not for ever.
    fn put_off(&self, process: &Arc<Process>, address: u64) {
        if process.in_vain_for() > PATIENCE {
            return self.poison(process, address);
        }
        self.retry(process, address, AGAIN_AFTER);
    }

    fn poison(&self, process: &Arc<Process>, address: u64) {
        self.metrics.poisoned.increment();
        self.after(process, address, process.poison(address));
    }

    /// What lay behind the end of a file can be had. Waits a little until programs can see it.
    fn heal(&self, inode: u64, size: u64) {
        let end = u32::try_from(size.div_ceil(PAGE_BYTES as u64)).unwrap_or(u32::MAX);
        let (_, processes) = self.table.of(inode);
        for process in &processes {
            for fault in process.poisoned(Some((inode, end)), usize::MAX) {
                self.serve(process, fault);
            }
        }
        let begun = Instant::now();
        let waits = |process: &Arc<Process>| !process.poisoned(Some((inode, end)), 1).is_empty();
        while processes.iter().any(waits) && begun.elapsed() < GROW_FOR {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn protect_one(&self, process: &Arc<Process>, inode: u64, (first, pages): (u32, u32)) {
        let begun = Instant::now();
        while process.protect(inode, first, pages) == Err(Errno::AGAIN) {
            self.read_aside(process);
            if begun.elapsed() > PROTECT_FOR {
                return tracing::error!(
                    ?process,
                    "a program goes on changing its mappings; what it writes now may be lost"
                );
            }
            std::thread::yield_now();
        }
    }
}

impl Programs for Vm {
    fn protect(&self, inode: u64, first: u32, pages: u32) {
        self.metrics.protected.add(u64::from(pages));
        let mut done: Vec<u64> = Vec::new();
        loop {
            let (version, processes) = self.table.of(inode);
            for process in processes {
                if !done.contains(&process.number) {
                    self.protect_one(&process, inode, (first, pages));
                    done.push(process.number);
                }
            }
            // A child that was born meanwhile, from a process that wasn't protected yet.
            if self.table.version() == version {
                return;
            }
        }
    }

    fn have(&self, inode: u64, page: u32) -> bool {
        self.table.any(inode, |process| process.has(inode, page))
    }

    fn forget(&self, inode: u64, page: u32) {
        self.table.of(inode).1.iter().for_each(|process| process.forget(inode, page));
    }
}

impl Attaching for Vm {
    fn attach(&self, wanted: Wanted) -> Result<abi::Attach, Errno> {
        let inode = wanted.file.inode();
        let flags = if wanted.writable { abi::WRITABLE } else { 0 };
        let shared = Shared { file: wanted.file, _open: Arc::new(wanted.open) };
        // Memory that can't be written can't be watched for stores, so it isn't given out.
        let ticket =
            if wanted.writable { self.tickets.issue(wanted.handle, shared)? } else { abi::Ticket::default() };
        let (address, size) = (wanted.address, wanted.size);
        Ok(abi::Attach { version: abi::VERSION, flags, inode, address, size, ticket, socket: self.socket })
    }

    fn released(&self, handle: u64) {
        self.tickets.void(handle);
    }

    fn resized(&self, inode: u64, size: u64) {
        self.heal(inode, size);
    }

    fn programs(&self) -> usize {
        self.table.count()
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("programs", &self.table.count()).finish_non_exhaustive()
    }
}

fn mode_of(fault: &PageFault) -> Mode {
    if fault.write { Mode::Write } else { Mode::Read }
}

fn is_inside(page: u32, size: u64) -> bool {
    u64::from(page) * (PAGE_BYTES as u64) < size
}

/// Makes a frame of zeros if there is none.
fn touch(shared: &Shared, page: u32) -> bool {
    let frame = shared.file.memory().page(u64::from(page));
    frame.and_then(|frame| frame.read_to(&mut [0])).is_ok()
}
