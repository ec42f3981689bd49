//! A cluster of mounts for steps that test directories, and the programs that test them.
//!
//! With `SCIFS_TEST_DIRS=DIR:DIR…` those directories are tested instead: one of them several times shows what the machine's own
//! file system does.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tally::{Tally, count};
use crate::cargo::{build_release, cargo};
use crate::error::{Doing, Error, output_of};
use crate::paths;
use crate::setup::{self, Capability};

const GIVEN: &str = "SCIFS_TEST_DIRS";

pub(super) struct Mounts {
    /// A folder of our own on each node, and nothing else in it.
    pub(super) dirs: Vec<PathBuf>,
    /// The cluster to take down, if it is ours.
    cluster: Option<PathBuf>,
}

impl Mounts {
    /// So many nodes of a new cluster, or of the directories that were given.
    pub(super) fn up(nodes: usize, options: &str) -> Result<Self, Error> {
        if let Some(given) = env::var_os(GIVEN) {
            let given: Vec<_> = env::split_paths(&given).collect();
            return Self { dirs: given.into_iter().cycle().take(nodes).collect(), cluster: None }
                .with_folder();
        }
        setup::ensure(&[Capability::Fuse])?;
        build_release(&["scifs", "scifs-preload"])?;
        let cluster = env::temp_dir().join(format!("scifs-test-{}", std::process::id()));
        let mut up = scifs(&["dev", "up", "--nodes", &nodes.to_string(), "-o", options]);
        output_of(up.arg(&cluster))?;
        let dirs = (1..=nodes).map(|node| cluster.join(format!("n{node}"))).collect();
        Self { dirs, cluster: Some(cluster) }.with_folder()
    }

    fn with_folder(mut self) -> Result<Self, Error> {
        let name = format!("test-{}", std::process::id());
        if let Some(first) = self.dirs.first() {
            fs::create_dir_all(first.join(&name))
                .doing(|| format!("create a folder in {}", first.display()))?;
        }
        self.dirs.iter_mut().for_each(|dir| dir.push(&name));
        Ok(self)
    }

    pub(super) fn dir(&self, node: usize) -> &Path {
        &self.dirs[node % self.dirs.len()]
    }

    /// Runs one of the programs of the tests' crate on all directories.
    pub(super) fn run(&self, program: &str, seconds: u64, arguments: &[&str]) -> Result<Tally, Error> {
        let program = paths::target().join("debug").join(program);
        let mut command = bounded(seconds, &program);
        count(command.arg("--dirs").args(&self.dirs).args(arguments))
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        if let Some(dir) = self.dirs.first() {
            // A mount that is broken by now keeps what it has.
            let _broken = fs::remove_dir_all(dir);
        }
        if let Some(cluster) = &self.cluster
            && let Err(error) = output_of(scifs(&["dev", "down"]).arg(cluster))
        {
            crate::report(&error);
        }
    }
}

fn scifs(arguments: &[&str]) -> Command {
    let mut command = bounded(120, &paths::target().join("release/scifs"));
    command.args(arguments);
    command
}

/// A program that is ended when it takes too long: a mount that hangs must not keep all tests.
pub(super) fn bounded(seconds: u64, program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &seconds.to_string()]).arg(program);
    command
}

/// The programs of the tests' crate are fast without `--release`: its profile optimizes them.
pub(super) fn build_programs() -> Result<(), Error> {
    output_of(&mut cargo(&["build", "--quiet", "--package", "scifs-tests", "--bins"])).map(drop)
}

/// Litmus tests and hammers, with two nodes and with four.
pub(super) fn litmus() -> Result<Tally, Error> {
    build_programs()?;
    let mut tally = Tally::default();
    for nodes in [2, 4] {
        println!("--- {nodes} nodes");
        let mounts = Mounts::up(nodes, "memory=256M")?;
        tally += mounts.run("litmus", 900, &["--iterations", "1000"])?;
        tally += mounts.run("hammer", 120, &[])?;
    }
    Ok(tally)
}

/// Nodes that are stopped and killed, programs that are killed while they wait.
pub(super) fn hostile() -> Result<Tally, Error> {
    setup::ensure(&[Capability::Fuse])?;
    output_of(&mut cargo(&["build", "--quiet", "--package", "scifs", "--package", "scifs-tests", "--bins"]))?;
    output_of(&mut cargo(&["build", "--quiet", "--package", "scifs-preload"]))?;
    let test = ["test", "--package", "scifs-tests", "--test", "mount_hostile"];
    count(cargo(&test).args(["--", "--ignored", "--test-threads", "1"]))
}
