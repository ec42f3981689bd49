//! What this process has: its mappings, its locks and its conversations with daemons. Kept through fork: the child has the mappings,
//! and neither the locks nor the conversations of its parent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::attach::Why;
use crate::error::Error;
use crate::locks::Mode;
use crate::mapping;
use crate::session::Session;
use crate::sys::{self, AtFork};

/// One that `scifs_map` has made.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) path: PathBuf,
    pub(crate) address: usize,
    pub(crate) length: usize,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    pub(crate) file: Arc<OwnedFd>,
    pub(crate) protection: i32,
    pub(crate) how: How,
    /// The first that a process makes says which mount is meant where none is named.
    pub(crate) number: u64,
}

/// Who serves a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Userfault {
        /// Children of fork have it, too.
        is_inherited: bool,
    },
    Kernel(Why),
}

impl Mapping {
    pub(crate) fn writable(&self) -> bool {
        self.protection & libc::PROT_WRITE != 0
    }

    /// Why the kernel has to serve it.
    pub(crate) fn by_kernel(&self) -> Option<Why> {
        match self.how {
            How::Userfault { .. } => None,
            How::Kernel(why) => Some(why),
        }
    }
}

/// A lock that this process has. Its file description is its own, so that closing it lets go of this lock alone.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) address: usize,
    pub(crate) length: usize,
    pub(crate) mode: Mode,
    /// Of the lock in the file.
    pub(crate) offset: u64,
    pub(crate) mapping: usize,
    pub(crate) file: OwnedFd,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// By where they begin.
    pub(crate) mappings: BTreeMap<usize, Arc<Mapping>>,
    pub(crate) held: Vec<Held>,
    /// Descriptors of locks that were let go of, with the mapping they are of; opening one costs as much as a lock.
    pub(crate) spare: Vec<(usize, OwnedFd)>,
    pub(crate) mapped_ever: u64,
}

impl Registry {
    /// The mapping that all of the range lies in.
    pub(crate) fn around(&self, address: usize, length: usize) -> Result<Arc<Mapping>, Error> {
        let not_mapped = Error::NotMapped { address };
        let Some((_, mapping)) = self.mappings.range(..=address).next_back() else { return Err(not_mapped) };
        let end = mapping.address + mapping.length;
        match address.checked_add(length) {
            Some(range_end) if range_end <= end && address < end => Ok(Arc::clone(mapping)),
            _ => Err(not_mapped),
        }
    }
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { mappings: BTreeMap::new(), held: Vec::new(), spare: Vec::new(), mapped_ever: 0 });
static SESSIONS: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// Never held while something waits for another program.
pub(crate) fn registry() -> MutexGuard<'static, Registry> {
    begin();
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One a daemon. Held while the daemon answers, which has a deadline; never taken while [`registry`] is.
pub(crate) fn sessions() -> MutexGuard<'static, Vec<Session>> {
    begin();
    SESSIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Once a process, before the first fork that matters.
pub fn begin() {
    sys::set_handlers(AtFork { prepare: before_fork, parent: || drop(taken()), child: in_child });
    sys::begin();
}

type Guards = (MutexGuard<'static, Vec<Session>>, MutexGuard<'static, Registry>);

thread_local! {
    static ACROSS_FORK: RefCell<Option<Guards>> = const { RefCell::new(None) };
}

fn before_fork() {
    let guards = (sessions(), registry());
    // A thread that is ending has no such place any more; then the locks are open during its fork.
    let _ = ACROSS_FORK.try_with(|place| place.replace(Some(guards)));
}

fn taken() -> Option<Guards> {
    ACROSS_FORK.try_with(RefCell::take).ok().flatten()
}

fn in_child() {
    let Some((mut sessions, mut registry)) = taken() else { return };
    for session in sessions.drain(..) {
        session.abandon();
    }
    // The locks stay the parent's: closing a copy of a descriptor lets go of nothing.
    registry.held.clear();
    registry.spare.clear();
    let lost =
        registry.mappings.values().filter(|mapping| mapping.how == How::Userfault { is_inherited: false });
    let lost: Vec<_> = lost.cloned().collect();
    drop((sessions, registry));
    for mapping in lost {
        mapping::again(&mapping);
    }
}
