//! Clusters of real daemons, each with a mount in a folder of the test. Everything is unmounted and ended when a test ends, however
//! it ends.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};
use scios::memory::{Region, RegionSlice};

use crate::program::{PATIENCE, Program};

pub(crate) const PAGE: usize = 4096;

/// A daemon that is still there after so many seconds is killed, whatever its test does: then nobody waits for it any more.
const LIFE_S: &str = "120";

pub(crate) struct Cluster {
    folder: PathBuf,
    /// Of every node.
    options: String,
    nodes: Vec<Node>,
}

struct Node {
    /// `timeout`, which ends the daemon when it is ended itself.
    child: Child,
    mountpoint: PathBuf,
    address: String,
}

impl Cluster {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, "memory=128M")
    }

    pub(crate) fn with(nodes: usize, options: &str) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("scifs-mount-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let mut cluster = Self { folder, options: options.into(), nodes: Vec::new() };
        for _ in 0..nodes {
            cluster.add();
        }
        if nodes > 1 {
            (0..nodes).for_each(|node| cluster.wait_until_settled(node));
        }
        cluster
    }

    /// Any node may be killed from then on, the first one too, and the others go on.
    fn wait_until_settled(&self, node: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = Command::new(env!("CARGO_BIN_EXE_scifs"))
                .arg("status")
                .arg(&self.nodes[node].mountpoint)
                .arg("--json")
                .env("SCIFS_RUNTIME_DIR", &self.folder)
                .output()
                .unwrap();
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
            let members = status["members"].as_array().map(Vec::len);
            if status["voters_settled"] == true && members == Some(self.nodes.len()) {
                return;
            }
            assert!(Instant::now() < deadline, "node {node} doesn't know who votes: {status}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// One node more; returns when its mount serves.
    pub(crate) fn add(&mut self) {
        let number = self.nodes.len();
        let mountpoint = self.folder.join(format!("n{number}"));
        std::fs::create_dir_all(&mountpoint).unwrap();
        let join = self.nodes.first().map(|first| format!(",join={}", first.address)).unwrap_or_default();
        let name = format!("name=t{}-{number},listen=127.0.0.1:0", std::process::id());
        let options = format!("{name},{}{join}", self.options);
        let child = Command::new("timeout")
            .args(["-k", "1", LIFE_S, env!("CARGO_BIN_EXE_scifs")])
            .arg(&mountpoint)
            .args(["-f", "-o", &options])
            .env("SCIFS_RUNTIME_DIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(self.folder.join(format!("n{number}.log"))).unwrap())
            .spawn()
            .unwrap();
        self.nodes.push(Node { child, mountpoint, address: String::new() });
        let node = self.nodes.last_mut().unwrap();
        let mut line = String::new();
        BufReader::new(node.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("listens on ").nth(1).and_then(|rest| rest.split(' ').next());
        node.address = address.unwrap_or_else(|| panic!("the daemon said {line:?}")).into();
    }

    /// A file as the node sees it.
    pub(crate) fn path(&self, node: usize, name: &str) -> PathBuf {
        self.nodes[node].mountpoint.join(name)
    }

    /// For reading and writing, made if it isn't there.
    pub(crate) fn open(&self, node: usize, name: &str) -> File {
        open(&self.path(node, name))
    }

    /// A program that works with files of a node.
    pub(crate) fn program(&self, node: usize) -> Program {
        Program::start(&self.nodes[node].mountpoint)
    }

    pub(crate) fn mountpoint(&self, node: usize) -> &Path {
        &self.nodes[node].mountpoint
    }

    /// To the daemon itself. One that is to stop stands still when this returns.
    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        let daemon = self.nodes[node].daemon();
        kill_process(daemon, signal).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while signal == Signal::STOP && !stands_still(daemon) {
            assert!(Instant::now() < deadline, "node {node} doesn't stop");
            std::thread::yield_now();
        }
    }

    /// Whether a node's daemon runs.
    pub(crate) fn runs(&mut self, node: usize) -> bool {
        self.nodes[node].child.try_wait().unwrap().is_none()
    }

    /// Kills a node's daemon as a crash would, and takes its mount away.
    pub(crate) fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        kill_process(node.daemon(), Signal::KILL).unwrap();
        node.child.wait().unwrap();
    }

    /// Takes a node's mount away, as umount(8) with -l does, and waits until its daemon has ended.
    pub(crate) fn unmount(&mut self, node: usize) -> bool {
        let node = &mut self.nodes[node];
        rustix::mount::unmount(&node.mountpoint, UnmountFlags::DETACH).unwrap();
        node.child.wait().unwrap().success()
    }
}

impl Node {
    /// The only child of `timeout`.
    fn daemon(&self) -> Pid {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }
}

/// Whether every thread of a process is stopped: each stops by itself, and goes on with what it does until then.
fn stands_still(process: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if node.child.try_wait().is_ok_and(|end| end.is_none()) {
                // One that was stopped can't end in an orderly way.
                let _ = kill_process(node.daemon(), Signal::CONT);
            }
            // Forced: whoever waits for the mount gets an error at once.
            let _ = rustix::mount::unmount(&node.mountpoint, UnmountFlags::FORCE);
            let _ = rustix::mount::unmount(&node.mountpoint, UnmountFlags::DETACH);
            let pid = rustix::process::Pid::from_child(&node.child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for node in &mut self.nodes {
            let _ = node.child.wait();
            let _ = std::fs::remove_dir(&node.mountpoint);
        }
        if std::thread::panicking() {
            for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
                let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                eprintln!("{}:\n{log}", entry.path().display());
            }
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

pub(crate) fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

/// A shared mapping of a file.
pub(crate) struct Map(RegionSlice);

impl Map {
    pub(crate) fn new(file: &File, bytes: usize) -> Self {
        let file: OwnedFd = file.try_clone().unwrap().into();
        Self(Region::map(file, bytes as u64).unwrap().whole())
    }

    pub(crate) fn store(&self, at: usize, bytes: &[u8]) {
        self.0.part(at, bytes.len()).unwrap().write_from(bytes).unwrap();
    }

    pub(crate) fn load(&self, at: usize, bytes: usize) -> Vec<u8> {
        self.0.part(at, bytes).unwrap().to_vec()
    }

    /// Adds to a word as one atomic operation, and returns what it was.
    pub(crate) fn add(&self, at: usize, by: u64) -> u64 {
        self.0.part(at, 8).unwrap().atomic().unwrap().fetch_add(by, Ordering::SeqCst)
    }
}
