//! The service around the requests: what it is made of, the threads that keep it, and what memberships that come and go
//! mean for it.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::events::{self, Happening, Listening};
use super::handles::Opens;
use super::interrupts::EarlyInterrupts;
use super::lanes::Lanes;
use super::present::Present;
use super::times::Written;
use super::{Inner, Service};
use crate::fuse::kernel::{FileSystem, Notifier};
use crate::names::limits::LET_GO_MAX;
use crate::names::{Command, Consistency, Inode, Time, Watch};
use crate::node::Files;

#[derive(Clone, Copy, Debug)]
pub struct FilesConfig {
    /// Of new files.
    pub consistency: Consistency,
    /// Threads of each lane.
    pub threads: usize,
}

/// How much the mount is used.
#[derive(Clone, Debug, Serialize)]
pub struct FilesStatus {
    pub open_handles: usize,
    pub open_files: usize,
    pub known_files: usize,
}

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
            present: RwLock::new(None),
            notifier: OnceLock::new(),
            opens: Opens::default(),
            lanes: Lanes::start(config.threads)?,
            written: Written::default(),
            early: EarlyInterrupts::default(),
            letting_go: Mutex::default(),
            sizes: RwLock::new(()),
        });
        let (to_events, happenings) = channel();
        let (to_keeper, told) = channel();
        let follower = Arc::downgrade(&inner);
        let keeper = Arc::clone(&inner);
        let threads = vec![
            spawn("events", move || events::follow(&follower, &happenings))?,
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

    /// The mount is there.
    pub fn set_notifier(&self, notifier: Notifier) {
        if self.inner.notifier.set(notifier).is_err() {
            tracing::error!("a mount was given its notifier twice");
        }
    }

    /// From now on requests go to these parts.
    pub fn set_present(&self, number: u64, present: Arc<Present>) {
        *self.inner.present.write() = Some((number, present));
    }

    /// The membership is over: requests get EIO until the next.
    pub fn end_present(&self, number: u64) {
        let mut present = self.inner.present.write();
        if present.as_ref().is_some_and(|(of, _)| *of == number) {
            *present = None;
        }
    }

    /// Has the kernel drop all pages, soon. Doesn't wait.
    pub fn drop_all(&self) {
        // The thread is gone only when the mount is.
        let _ = self.to_events.send(Happening::DropAll);
    }

    pub fn status(&self) -> FilesStatus {
        FilesStatus {
            open_handles: self.inner.opens.handles(),
            open_files: self.inner.opens.inodes().len(),
            known_files: self.inner.files.all().len(),
        }
    }

    /// Tells the cluster what is left to tell and ends the threads. The mount is gone already.
    pub fn end(&self) {
        self.inner.lanes.end();
        drop(self.to_keeper.lock().take());
        // As above.
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
}

fn touch(present: &Present, inode: Inode, written: Time) {
    if let Err(error) = present.names.run(&Command::Touch { inode, written }) {
        tracing::debug!(%error, inode, "the time of a write was not noted");
    }
}

impl Inner {
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
