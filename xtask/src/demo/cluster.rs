//! The demo's cluster: `scifs dev` does the work.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Error, output_of};
use crate::paths;

/// Ended when it is dropped, so also when the demo fails.
pub(super) struct Cluster {
    folder: PathBuf,
    scifs: PathBuf,
    up: bool,
}

impl Cluster {
    pub(super) fn up(nodes: usize) -> Result<Self, Error> {
        let user = rustix::process::getuid().as_raw();
        let folder = std::env::temp_dir().join(format!("scifs-demo-{user}"));
        let mut cluster = Self { folder, scifs: paths::target().join("release/scifs"), up: false };
        // One that was kept, or that an interrupted demo has left.
        if cluster.folder.exists() {
            cluster.scifs(&["dev", "down", &cluster.path()])?;
        }
        println!("  scifs dev up --nodes {nodes} {}", cluster.path());
        cluster.scifs(&["dev", "up", "--nodes", &nodes.to_string(), &cluster.path()])?;
        cluster.up = true;
        Ok(cluster)
    }

    fn path(&self) -> String {
        self.folder.display().to_string()
    }

    /// Where a node's mount is.
    pub(super) fn point(&self, node: usize) -> String {
        format!("{}/n{node}", self.path())
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.scifs);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and gives what it printed.
    pub(super) fn scifs(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = output_of(&mut self.command(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(super) fn down(mut self) -> Result<(), Error> {
        self.up = false;
        self.scifs(&["dev", "down", &self.path()]).map(drop)
    }

    /// Leaves it as it is.
    pub(super) fn keep(mut self) -> u8 {
        self.up = false;
        let (folder, scifs) = (self.path(), self.scifs.display().to_string());
        println!(
            "\nThe cluster stays. Try for example:\n  \
             export PATH=$PATH:{}\n  \
             echo hello > {folder}/n1/greeting; cat {folder}/n3/greeting\n  \
             scifs ping {folder}/n1\n  \
             scifs stat {folder}/n2/ring\n  \
             java examples/Ring.java {folder}/n2/ring 0 1 20 Java      # with a JDK: the same list again\n  \
             flock {folder}/n1/greeting sleep 10 & flock {folder}/n2/greeting echo mine now\n\
             and in the end:\n  scifs dev down {folder}",
            scifs.trim_end_matches("/scifs"),
        );
        0
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.up
            && let Err(error) = self.scifs(&["dev", "down", &self.path()])
        {
            eprintln!("demo: {error}");
        }
    }
}
