//! The example programs: built once, then run on the nodes' mounts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use crate::cargo::cargo;
use crate::error::{Doing, Error, output_of};
use crate::paths;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Programs {
    folder: PathBuf,
    sources: PathBuf,
}

pub(super) fn build() -> Result<Programs, Error> {
    let folder = paths::target().join("examples");
    std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    let programs = Programs { folder, sources: paths::workspace().join("examples") };
    for name in ["ring", "pingpong"] {
        let (source, program) =
            (programs.source(&format!("{name}.c")), programs.program(&format!("{name}-c")));
        output_of(Command::new("cc").arg("-O2").arg("-o").args([program, source]))?;
    }
    let (include, libraries) = (paths::workspace().join("client/include"), paths::target().join("release"));
    let (source, program) = (programs.source("libscifs/board.c"), programs.program("board-c"));
    let mut board = Command::new("cc");
    board
        .args(["-O2", "-Wall", "-Wextra", "-pedantic", "-std=c99", "-I"])
        .arg(include)
        .arg("-o")
        .args([program, source]);
    board.arg("-L").arg(&libraries).arg("-lscifs").arg(format!("-Wl,-rpath,{}", libraries.display()));
    output_of(&mut board)?;
    output_of(&mut cargo(&[
        "build",
        "--release",
        "--quiet",
        "--package",
        "scifs-client",
        "--example",
        "board",
    ]))?;
    let (source, program) = (programs.source("ring.rs"), programs.program("ring-rust"));
    output_of(Command::new("rustc").args(["-O", "--edition", "2024", "-o"]).args([program, source]))?;
    Ok(programs)
}

impl Programs {
    fn source(&self, name: &str) -> PathBuf {
        self.sources.join(name)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program in each language, each on a node of its own; they print as it happens.
    pub(super) fn ring(&self, cluster: &Cluster, notes: u32) -> Result<(), Error> {
        let mut python = Command::new("python3");
        python.arg(self.source("ring.py"));
        let players = [
            (Command::new(self.program("ring-c")), "C on n1"),
            (python, "Python on n2"),
            (Command::new(self.program("ring-rust")), "Rust on n3"),
        ];
        let count = players.len().to_string();
        let mut running = Vec::new();
        for (me, (mut command, name)) in players.into_iter().enumerate() {
            let file = format!("{}/ring", cluster.point(me + 1));
            command.args([&file, &me.to_string(), &count, &notes.to_string(), name]);
            running.push(Running::start(command)?);
        }
        running.into_iter().try_for_each(|program| program.finish(PATIENCE).map(drop))
    }

    /// The same by libscifs: locks, and waiting for each other, across nodes.
    pub(super) fn board(&self, cluster: &Cluster) -> Result<(), Error> {
        let mut python = Command::new("python3");
        python.arg(self.source("libscifs/board.py"));
        python.env("LIBSCIFS", paths::target().join("release/libscifs.so"));
        let players = [
            (Command::new(self.program("board-c")), "C on n1"),
            (python, "Python on n2"),
            (Command::new(paths::target().join("release/examples/board")), "Rust on n3"),
        ];
        let count = players.len().to_string();
        let mut running = Vec::new();
        for (me, (mut command, name)) in players.into_iter().enumerate() {
            let file = format!("{}/board", cluster.point(me + 1));
            command.args([&file, &me.to_string(), &count, name]);
            running.push(Running::start(command)?);
        }
        running.into_iter().try_for_each(|program| program.finish(PATIENCE).map(drop))
    }

    /// One program again, and nothing changed in it: `scifs exec` makes its mappings take the fast path.
    pub(super) fn ring_by_exec(&self, cluster: &Cluster) -> Result<(), Error> {
        let file = format!("{}/alone", cluster.point(2));
        cluster.scifs(&["create", &file, "--size", "1M"])?;
        let mut exec = cluster.command(&["exec", "--verbose", "--", "python3"]);
        exec.arg(self.source("ring.py")).args([&file, "0", "1", "3", "Python"]);
        Running::start(exec)?.finish(PATIENCE).map(drop)
    }

    /// Microseconds for one move of a dirty page between two nodes.
    pub(super) fn pingpong(&self, cluster: &Cluster, rounds: u32) -> Result<f64, Error> {
        let ball = |node: usize| format!("{}/ball", cluster.point(node));
        cluster.scifs(&["create", &ball(1), "--size", "4K"])?;
        let mut running = Vec::new();
        for me in [1, 0] {
            let mut command = Command::new(self.program("pingpong-c"));
            command.args([&ball(me + 1), &me.to_string(), &rounds.to_string()]).stdout(Stdio::piped());
            running.push(Running::start(command)?);
        }
        let mut printed = String::new();
        for program in running {
            printed.push_str(&program.finish(PATIENCE)?);
        }
        printed.trim().parse().map_err(|_| Error::Usage(format!("pingpong printed {printed:?}, no time")))
    }
}

/// A program that doesn't outlive the demo.
struct Running {
    child: Child,
    name: String,
}

impl Running {
    fn start(mut command: Command) -> Result<Self, Error> {
        let name = Path::new(command.get_program()).display().to_string();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|source| Error::Spawn { program: name.clone(), source })?;
        Ok(Self { child, name })
    }

    /// What it printed, if that was caught.
    fn finish(mut self, patience: Duration) -> Result<String, Error> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait().doing(|| format!("wait for {}", self.name))? {
                Some(status) if status.success() => break,
                Some(status) => return Err(Error::Usage(format!("{} failed: {status}", self.name))),
                None if Instant::now() > deadline => {
                    return Err(Error::Usage(format!(
                        "{} did not end in {} s",
                        self.name,
                        patience.as_secs()
                    )));
                }
                None => sleep(Duration::from_millis(20)),
            }
        }
        let mut printed = String::new();
        if let Some(mut output) = self.child.stdout.take() {
            std::io::Read::read_to_string(&mut output, &mut printed)
                .doing(|| format!("read from {}", self.name))?;
        }
        Ok(printed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
