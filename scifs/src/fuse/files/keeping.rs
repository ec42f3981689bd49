//! The service around the requests: what it is made of, the threads that keep it, and what memberships that come and go
//! mean for it.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::attaching::Attaching;
use super::cache::MountedCache;
use super::events::{self, Happening, Listening};
use super::handles::Opens;
use super::interrupts::EarlyInterrupts;
use super::lanes::Lanes;
use super::present::Present;
use super::programs::ForPrograms;
use super::times::Written;
use super::{Inner, Service};
use crate::fuse::kernel::{FileSystem, Notifier};
use crate::names::limits::LET_GO_MAX;
use crate::names::{Command, Consistency, Inode, Time, Watch};
use crate::node::{Files, KernelCache};
use crate::vm::Upward;

#[derive(Clone, Copy, Debug)]
pub struct FilesConfig {
    /// Of new files.
    pub consistency: Consistency,
    /// Threads of each lane.
    pub threads: usize,
    /// Threads that will read the kernel's requests; 0 without a mount.
    pub workers: usize,
}

/// How much the mount is used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FilesStatus {
    pub open_handles: u64,
    pub open_files: u64,
    pub known_files: u64,
    /// Requests of programs that wait for a word or at a barrier.
    pub waiting: u64,
}

/// The membership in which no file has been opened yet.
const FIRST_LIFE: u64 = 0;

/// Times of writes reach the cluster at the latest after this.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The files of one mount. They outlive memberships, as the mount does.
pub struct FilesService {
    inner: Arc<Inner>,
    to_events: Sender<Happening>,
    to_keeper: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl FilesService {
    pub fn start(config: FilesConfig, files: Arc<Files>) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            consistency: config.consistency,
            files,
            lives: RwLock::default(),
            present: RwLock::new(None),
            cache: Arc::new(MountedCache::new(config.workers)),
            opens: Opens::default(),
            lanes: Lanes::start(config.threads)?,
            written: Written::default(),
            early: EarlyInterrupts::default(),
            attaching: OnceLock::new(),
            letting_go: Mutex::default(),
            sizes: RwLock::new(()),
        });
        let (to_events, happenings) = channel();
        let (to_keeper, told) = channel();
        let (to_dropper, news) = channel();
        let cache = Arc::clone(&inner.cache);
        let follower = Arc::downgrade(&inner);
        let keeper = Arc::clone(&inner);
        let threads = vec![
            spawn("events", move || events::follow(&follower, &happenings, &to_dropper))?,
            spawn("dropper", move || events::tell_kernel(&cache, &news))?,
            spawn("touch", move || keep(&keeper, &told))?,
        ];
        Ok(Self { inner, to_events, to_keeper: Mutex::new(Some(to_keeper)), threads: Mutex::new(threads) })
    }

    /// What answers the kernel.
    pub fn requests(&self) -> Arc<dyn FileSystem> {
        Arc::new(Service(Arc::clone(&self.inner)))
    }

    /// What the names of one membership are to be given.
    pub fn watch(&self, number: u64) -> Arc<dyn Watch> {
        let to_thread = Mutex::new(self.to_events.clone());
        Arc::new(Listening { number, files: Arc::clone(&self.inner.files), to_thread })
    }

    /// The kernel's page cache, also before there is a mount.
    pub fn cache(&self) -> Arc<dyn KernelCache> {
        Arc::clone(&self.inner.cache) as Arc<dyn KernelCache>
    }

    /// Programs may share memory with this node from now on. Once.
    pub fn set_attaching(&self, attaching: Arc<dyn Attaching>) {
        self.inner.cache.share(&attaching);
        if self.inner.attaching.set(attaching).is_err() {
            tracing::error!("there is somebody already who shares memory with programs");
        }
    }

    /// For programs that share memory.
    pub fn for_programs(&self) -> Box<dyn Upward> {
        Box::new(ForPrograms(Arc::downgrade(&self.inner)))
    }

    /// The mount is there.
    pub fn mounted(&self, notifier: Notifier) {
        self.inner.cache.mounted(notifier);
    }

    /// A membership begins: its events mean something from now on.
    pub fn begin(&self, number: u64, present: Arc<Present>) {
        self.inner.lives.write().insert(number, present);
    }

    /// The membership may act: requests go to its parts. Those of a later membership only after what open files were taken for
    /// in the one before was compared with the names as they are now, which the thread that takes events does.
    pub fn serve(&self, number: u64) {
        if number == FIRST_LIFE {
            return self.inner.serve(number);
        }
        // Without the thread the mount has ended.
        let _ = self.to_events.send(Happening::Serve { number });
    }

    /// The membership is over: requests get EIO until the next serves.
    pub fn end_life(&self, number: u64) {
        let ended = self.inner.lives.write().remove(&number);
        let mut present = self.inner.present.write();
        if let (Some(ended), Some(serving)) = (ended, present.as_ref())
            && Arc::ptr_eq(&ended, serving)
        {
            *present = None;
        }
    }

    pub fn status(&self) -> FilesStatus {
        FilesStatus {
            open_handles: self.inner.opens.handles() as u64,
            open_files: self.inner.opens.inodes().len() as u64,
            known_files: self.inner.files.all().len() as u64,
            waiting: self
                .inner
                .present()
                .ok()
                .and_then(|p| p.waits.get().map(|w| w.waiting()))
                .unwrap_or_default(),
        }
    }

    /// Tells the cluster what is left to tell and ends the threads. The mount is gone already.
    pub fn end(&self) {
        self.inner.lanes.end();
        drop(self.to_keeper.lock().take());
        // The thread ends only here.
        let _ = self.to_events.send(Happening::End);
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the mount had panicked");
            }
        }
    }
}

impl Drop for FilesService {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for FilesService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesService").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

/// Until its sender is dropped, and once more then.
fn keep(inner: &Inner, told: &Receiver<()>) {
    while told.recv_timeout(TELL_EVERY) == Err(RecvTimeoutError::Timeout) {
        tell(inner);
    }
    tell(inner);
}

fn tell(inner: &Inner) {
    let Ok(present) = inner.present() else { return };
    for (inode, written) in inner.written.take_all() {
        touch(&present, inode, written);
    }
    inner.tell_let_go(&present);
    present.tell_free_memory();
}

fn touch(present: &Present, inode: Inode, written: Time) {
    if let Err(error) = present.names.run(&Command::Touch { inode, written }) {
        tracing::debug!(%error, inode, "the time of a write was not noted");
    }
}

impl Inner {
    pub(super) fn serve(&self, number: u64) {
        let present = self.life(number);
        *self.present.write() = present;
    }

    /// Has the cluster know when the file was written to here, before somebody asks.
    pub(super) fn tell_written(&self, present: &Present, inode: Inode) {
        if let Some(written) = self.written.take(inode) {
            touch(present, inode, written);
        }
    }

    /// What can't be told now is told again.
    fn tell_let_go(&self, present: &Present) {
        let inodes = std::mem::take(&mut *self.letting_go.lock());
        let Some(member) = present.names.member() else { return };
        for inodes in inodes.chunks(LET_GO_MAX) {
            let command = Command::LetGo { member, inodes: inodes.to_vec() };
            if let Err(error) = present.names.run(&command) {
                tracing::debug!(%error, "orphans could not be let go of; trying again");
                self.letting_go.lock().extend_from_slice(inodes);
            }
        }
    }
}
