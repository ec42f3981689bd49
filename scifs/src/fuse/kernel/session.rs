//! One mount from INIT to its end: negotiates with the kernel, then workers read requests and call the file system.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::io::Errno;
use scios::metrics::Registry;

use super::device::Device;
use super::mount::{self, MountError, MountSetting};
use super::notify::Notifier;
use super::reply::Reply;
use super::request::{self, Forget, Header, INIT_EXT, OPCODE_INIT, Operation};
use super::timing::Timings;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one that reads requests.
pub fn is_worker() -> bool {
    IS_WORKER.get()
}

/// Answers requests. Called by the workers, several at a time; it must not wait for another request or for a peer,
/// but keep the [`Reply`] and answer later.
pub trait FileSystem: Send + Sync + 'static {
    fn handle(&self, header: &Header, operation: Operation<'_>, reply: Reply);
}

#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// Threads that read requests; at least two, since one must be free while another waits for the kernel.
    pub workers: usize,
    /// The longest write in one request; a multiple of the page size.
    pub write_bytes_max: usize,
    /// A kernel takes 0 as "no wish" and reads 32 pages ahead for each fault.
    pub readahead_bytes_max: u32,
}

/// The protocol version that the layouts here are of. Older kernels are refused, newer ones speak it.
const MAJOR: u32 = 7;
const MINOR_MIN: u32 = 31;
const MINOR: u32 = 38;

// Left to the kernel, because its way is as good and needs no code here: O_TRUNC (it truncates after opening), and
// clearing set-user-id bits at truncation and change of owner (it sends the mode). Not asked for: reading attributes along with
// a directory, which would cost a look at each file for a plain `ls`.
const POSIX_LOCKS: u64 = 1 << 1;
const BIG_WRITES: u64 = 1 << 5;
const FLOCK_LOCKS: u64 = 1 << 10;
const PARALLEL_DIROPS: u64 = 1 << 18;
const MAX_PAGES: u64 = 1 << 22;
const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
/// Files opened with direct I/O can be mapped shared too (kernel 6.6).
const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;

const WANTED: u64 = POSIX_LOCKS
    | BIG_WRITES
    | FLOCK_LOCKS
    | PARALLEL_DIROPS
    | MAX_PAGES
    | EXPLICIT_INVAL_DATA
    | INIT_EXT
    | DIRECT_IO_ALLOW_MMAP;

/// Room for the header and fixed fields of a WRITE before its data.
const REQUEST_HEAD_BYTES: usize = 4096;

/// A mount. Unmounted when it is dropped.
#[derive(Debug)]
pub struct Session {
    mountpoint: PathBuf,
    device: Arc<Device>,
    config: SessionConfig,
    timings: Arc<Timings>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    ended: AtomicBool,
}

impl Session {
    /// Mounts and agrees with the kernel. Whoever uses the mount already waits for [`Self::serve`].
    pub fn mount(
        mountpoint: &Path,
        setting: &MountSetting,
        config: SessionConfig,
    ) -> Result<Self, MountError> {
        let config = SessionConfig { workers: config.workers.max(2), ..config };
        let session = Self {
            device: Arc::new(Device::new(mount::mount(mountpoint, setting)?)),
            mountpoint: mountpoint.into(),
            config,
            timings: Arc::default(),
            workers: Mutex::default(),
            ended: AtomicBool::new(false),
        };
        if session.handshake()? & DIRECT_IO_ALLOW_MMAP == 0 {
            return Err(MountError::SharedMaps);
        }
        Ok(session)
    }

    /// Measures the requests from now on.
    pub fn measure(&self, registry: &Arc<Registry>) {
        self.timings.show(registry);
    }

    /// Answers requests until somebody unmounts. The mount serves when this returns.
    pub fn serve(&self, files: &Arc<dyn FileSystem>) -> Result<(), MountError> {
        for number in 0..self.config.workers {
            let (device, timings) = (Arc::clone(&self.device), Arc::clone(&self.timings));
            let files = Arc::clone(files);
            let write_bytes_max = self.config.write_bytes_max;
            let worker = std::thread::Builder::new()
                .name(format!("fuse-{number}"))
                .spawn(move || work(&device, &*files, &timings, write_bytes_max))
                .map_err(|source| MountError::System { operation: "start a worker", source })?;
            self.workers.lock().push(worker);
        }
        Ok(())
    }

    pub fn notifier(&self) -> Result<Notifier, MountError> {
        let system = |source| MountError::System { operation: "prepare notifications", source };
        Notifier::new(Arc::clone(&self.device)).map_err(system)
    }

    /// Waits until the mount is gone, whoever unmounted it.
    pub fn wait(&self) {
        // Held while waiting, so that a second caller waits as well.
        for worker in self.workers.lock().drain(..) {
            if worker.join().is_err() {
                tracing::error!("a FUSE worker had panicked");
            }
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Unmounts, also while files are open: their users get errors from then on.
    pub fn unmount(&self) -> Result<(), MountError> {
        mount::unmount(&self.mountpoint)
    }

    /// The kernel's first request; nothing else comes before it is answered.
    fn handshake(&self) -> Result<u64, MountError> {
        let config = self.config;
        let system = |source| MountError::System { operation: "speak with the kernel", source };
        let mut buffer = vec![0; REQUEST_HEAD_BYTES * 3];
        let gone = || system(io::Error::from(Errno::NODEV));
        let bytes = self.device.read(&mut buffer).map_err(system)?.ok_or_else(gone)?;
        let malformed = |error: scios::rpc::codec::DecodeError| system(io::Error::other(error));
        let (header, opcode, mut fields) = request::header(bytes).map_err(malformed)?;
        if opcode != OPCODE_INIT {
            return Err(system(io::Error::other(format!("request {opcode} came before INIT"))));
        }
        let init = request::init(&mut fields).map_err(malformed)?;
        let mut reply = Reply::new(header.unique, Arc::clone(&self.device));
        if (init.major, init.minor) < (MAJOR, MINOR_MIN) {
            reply.error(Errno::PROTO);
            return Err(MountError::Kernel { major: init.major, minor: init.minor, minor_min: MINOR_MIN });
        }
        let features = init.flags & WANTED;
        let pages_max = u16::try_from(config.write_bytes_max / scios::limits::PAGE_BYTES).unwrap_or(u16::MAX);
        reply.fields(|to| {
            to.u32(MAJOR);
            to.u32(MINOR.min(init.minor));
            to.u32(config.readahead_bytes_max.min(init.max_readahead));
            to.u32(features as u32);
            to.u16(BACKGROUND_MAX);
            to.u16(BACKGROUND_MAX / 4 * 3);
            to.u32(u32::from(pages_max) * scios::limits::PAGE_BYTES as u32);
            to.u32(1);
            to.u16(pages_max);
            to.u16(0);
            to.u32((features >> 32) as u32);
            to.raw(&[0; 28]);
        });
        Ok(features)
    }
}

/// Requests that the kernel keeps under way without a waiting process.
const BACKGROUND_MAX: u16 = 64;

impl Drop for Session {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.unmount() {
            tracing::debug!(%error, "unmounting at the end");
        }
        self.wait();
    }
}

fn work(device: &Arc<Device>, files: &dyn FileSystem, timings: &Timings, write_bytes_max: usize) {
    IS_WORKER.set(true);
    let mut buffer = vec![0; REQUEST_HEAD_BYTES + write_bytes_max];
    loop {
        match device.read(&mut buffer) {
            Ok(Some(bytes)) => serve(device, files, timings, bytes),
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "reading from /dev/fuse failed; this worker ends");
                return;
            }
        }
    }
}

fn serve(device: &Arc<Device>, files: &dyn FileSystem, timings: &Timings, bytes: &[u8]) {
    let (header, opcode, mut fields) = match request::header(bytes) {
        Ok(parts) => parts,
        Err(error) => return tracing::error!(%error, "the kernel sent half a header"),
    };
    let reply = || Reply::new(header.unique, Arc::clone(device)).timed(timings.begin(opcode));
    match request::operation(opcode, &mut fields) {
        Ok(Operation::Forget(mut list)) => {
            if let [Forget { inode: inode @ 0, .. }] = list.as_mut_slice() {
                *inode = header.inode;
            }
            files.handle(&header, Operation::Forget(list), Reply::unneeded());
        }
        Ok(operation) => files.handle(&header, operation, reply()),
        Err(error) => {
            tracing::error!(%error, opcode, "the kernel sent a request that cannot be read");
            reply().error(Errno::INVAL);
        }
    }
}
