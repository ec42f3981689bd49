//! Clusters of mounts in this process, each node on a folder of its own. Everything is unmounted and removed when a test ends,
//! however it ends.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use scifs::fuse::kernel::MountSetting;
use scifs::mount::{Mount, MountConfig};
use scifs::names::Consistency;
use scios::memory::{Region, RegionSlice};
use scios::node::{FabricKind, NodeConfig};

pub(crate) const PAGE: usize = 4096;

/// Longer than anything in these tests takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    folder: PathBuf,
    mounts: Vec<Option<Mount>>,
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("SCIFS_TEST_LOG").is_some() {
            let _ = scios::logging::init(true);
        }
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("scifs-mount-{}-{number}", std::process::id()));
        let mut cluster = Self { folder, mounts: Vec::new() };
        for _ in 0..nodes {
            cluster.add();
        }
        cluster
    }

    pub(crate) fn add(&mut self) {
        let number = self.mounts.len();
        let mountpoint = self.path(number, "");
        std::fs::create_dir_all(&mountpoint).unwrap();
        let join = self.mounts.first().and_then(Option::as_ref).map(|first| first.node().life().address());
        let config = MountConfig {
            node: NodeConfig {
                name: format!("n{number}"),
                listen: Some("127.0.0.1:0".into()),
                join: join.into_iter().collect(),
                fabric: FabricKind::Tcp,
                memory_bytes: 256 << 20,
                secret: None,
                spin_us: 20,
                failure_timeout: Duration::from_secs(5),
                voters_max: 3,
            },
            mountpoint,
            setting: MountSetting {
                source: "scifs".into(),
                read_only: false,
                nosuid: false,
                nodev: false,
                noexec: false,
                noatime: false,
                allow_other: true,
                default_permissions: true,
            },
            workers: 4,
            consistency: Consistency::Strict,
        };
        self.mounts.push(Some(Mount::start(config).unwrap()));
    }

    pub(crate) fn mount(&self, node: usize) -> &Mount {
        self.mounts[node].as_ref().unwrap()
    }

    pub(crate) fn take(&mut self, node: usize) -> Mount {
        self.mounts[node].take().unwrap()
    }

    /// A file as the node sees it.
    pub(crate) fn path(&self, node: usize, name: &str) -> PathBuf {
        self.folder.join(format!("n{node}")).join(name)
    }

    pub(crate) fn open(&self, node: usize, name: &str) -> File {
        open(&self.path(node, name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The founder last: the others can leave in an orderly way, which is faster.
        while let Some(mount) = self.mounts.pop() {
            drop(mount);
        }
        // Only empty folders: should a mount still be there, its files are not to be deleted.
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// For reading and writing, made if it isn't there.
pub(crate) fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// A shared mapping.
pub(crate) fn map(file: &File, bytes: usize) -> Map {
    let file: OwnedFd = file.try_clone().unwrap().into();
    let region = Region::map(file, bytes as u64).unwrap();
    Map { whole: region.whole(), region }
}

pub(crate) struct Map {
    pub(crate) region: Arc<Region>,
    whole: RegionSlice,
}

impl Map {
    pub(crate) fn store(&self, at: usize, bytes: &[u8]) {
        self.whole.part(at, bytes.len()).unwrap().write_from(bytes).unwrap();
    }

    pub(crate) fn load(&self, at: usize, bytes: usize) -> Vec<u8> {
        self.whole.part(at, bytes).unwrap().to_vec()
    }

    pub(crate) fn word(&self, at: usize) -> RegionSlice {
        self.whole.part(at, 8).unwrap()
    }
}

/// Waits for a condition that something else makes true.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
