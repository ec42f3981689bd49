//! Nodes as processes, for tests: each test has a folder of its own for control sockets and files, and whatever it has
//! started is gone when it ends, however it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes on a busy machine; waiting ends as soon as what is waited for is there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("scifs-test-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { folder }
    }

    pub(crate) fn file(&self, name: &str, content: &[u8], mode: u32) -> String {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path.display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scifs"));
        command.args(arguments).env("SCIFS_RUNTIME_DIR", &self.folder).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn scifs(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a node and waits until it says that it is a member.
    pub(crate) fn node(&self, name: &str, options: &str) -> Node<'_> {
        let all = format!("name={name},memory=64M,{options}");
        let mut child = self
            .command(&["node", "-o", &all])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut node = Node { place: self, name: name.into(), child, address: String::new() };
        match line.split("listens on ").nth(1).and_then(|rest| rest.split(';').next()) {
            Some(address) => node.address = address.into(),
            None => {
                let mut said = String::new();
                let _ = node.child.kill();
                node.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("{name} did not become a member: {said}");
            }
        }
        node
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) struct Node<'a> {
    place: &'a Place,
    pub(crate) name: String,
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Node<'_> {
    pub(crate) fn status(&self) -> Value {
        let output = self.place.scifs(&["status", &self.name, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn members(&self) -> Vec<String> {
        let status = self.status();
        let members = status["members"].as_array().unwrap();
        members.iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process to end by itself and gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        wait_for("the node to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
