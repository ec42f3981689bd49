//! A place for one test: a folder with mountpoints and control sockets. Whatever is mounted below it or listens in it is
//! gone when the test ends, however it ends.

use std::fs::Permissions;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use scifs::control::{self, mounts};
use serde_json::Value;

/// Longer than anything takes on a busy machine; waiting ends as soon as what is waited for is there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Small, and at a port of its own.
pub(crate) const SMALL: &str = "memory=64M,listen=127.0.0.1:0";

pub(crate) struct Place {
    pub(crate) folder: PathBuf,
}

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("scifs-cli-{}-{test}", std::process::id()));
        std::fs::create_dir_all(folder.join("run")).unwrap();
        std::fs::set_permissions(folder.join("run"), Permissions::from_mode(0o700)).unwrap();
        Self { folder: folder.canonicalize().unwrap() }
    }

    /// A folder to mount on.
    pub(crate) fn point(&self, name: &str) -> String {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path.display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.folder.join("run")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scifs"));
        command.args(arguments).env("SCIFS_RUNTIME_DIR", self.runtime()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn scifs(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeeded(&self.scifs(arguments), &arguments.join(" "))
    }

    /// Mounts in the background; `mount` gives the mountpoint.
    pub(crate) fn mount(&self, name: &str, options: &str) -> String {
        let point = self.point(name);
        self.ok(&[&point, "-o", &format!("name={name},{SMALL},{options}")]);
        point
    }

    pub(crate) fn status(&self, node: &str) -> Value {
        serde_json::from_str(&self.ok(&["status", node, "--json"])).unwrap()
    }

    pub(crate) fn members(&self, node: &str) -> usize {
        self.status(node)["members"].as_array().unwrap().len()
    }

    pub(crate) fn address(&self, node: &str) -> String {
        self.status(node)["address"].as_str().unwrap().to_owned()
    }

    pub(crate) fn socket(&self, node: &str) -> PathBuf {
        self.runtime().join(format!("{node}.sock"))
    }

    pub(crate) fn pid(&self, node: &str) -> Option<u32> {
        control::pid_of(&self.socket(node))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sockets = walk(&self.runtime()).into_iter().filter(|path| control::name_of(path).is_some());
        for pid in sockets.filter_map(|socket| control::pid_of(&socket)) {
            signal(pid, Signal::KILL);
        }
        for mounted in mounts::all().unwrap_or_default().iter().rev() {
            if mounted.point.starts_with(&self.folder) {
                let _ = Command::new("umount").arg("-l").arg(&mounted.point).status();
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}

/// Whether a process runs; one that only waits for its parent to ask for its end doesn't.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

pub(crate) fn succeeded(output: &Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn is_mounted(point: &str) -> bool {
    mounts::at(Path::new(point)).unwrap().is_some_and(|mounted| mounted.kind == mounts::MOUNT_TYPE)
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Asks again until there is an answer. There is nothing to wait on between two processes, so it pauses in between.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn ended(&mut self) -> Option<i32> {
        wait_for("the process to end", || self.0.try_wait().unwrap()).code()
    }

    /// What it has said on stderr; it must have ended.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(stderr) = self.0.stderr.as_mut() {
            stderr.read_to_string(&mut said).unwrap();
        }
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
