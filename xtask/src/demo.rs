//! `cargo xtask demo`: a small cluster on this machine, the main thing working, and nothing left behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, output_of};
use crate::paths;

#[derive(clap::Args)]
pub(crate) struct Options {}

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(_options: &Options) -> Result<u8, Error> {
    println!("Building scifs (the first time, this takes some minutes) ...");
    output_of(Command::new(env!("CARGO")).current_dir(paths::workspace()).args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "scifs",
    ]))?;
    let place = Place::new()?;

    println!("\nThree nodes, each with 256 MiB to give. The first founds a cluster, the others join it:");
    let ant = place.node("ant", "")?;
    let join = format!(",join={}", ant.address);
    let _bee = place.node("bee", &join)?;
    let mut cat = place.node("cat", &join)?;
    place.wait_for_members("ant", 3)?;
    print!("\n{}", place.scifs(&["status", "ant"])?);

    println!("\nRound trips from ant to the others, through RPC over TCP on loopback (medians of 200):");
    print!("{}", place.scifs(&["ping", "ant"])?);

    println!("\nNow cat is killed, without a chance to say good-bye (kill -9) ...");
    let killed = Instant::now();
    cat.kill();
    place.wait_for_members("bee", 2)?;
    println!("... and {:.1} s later the others have agreed that it is dead:", killed.elapsed().as_secs_f32());
    print!("\n{}", place.scifs(&["status", "bee"])?);

    println!("\nIt comes back as a new member, and bee leaves in an orderly way:");
    let _cat = place.node("cat", &join)?;
    place.wait_for_members("ant", 3)?;
    place.scifs(&["leave", "bee"])?;
    place.wait_for_members("ant", 2)?;
    print!("\n{}", place.scifs(&["status", "ant"])?);
    println!(
        "\nThat was it; everything is cleaned up. Run nodes of your own: {} --help",
        place.scifs.display()
    );
    Ok(0)
}

/// A folder for the control sockets, gone with everything in it at the end.
struct Place {
    folder: PathBuf,
    scifs: PathBuf,
}

impl Place {
    fn new() -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("scifs-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&folder, own).doing(|| format!("keep {} to ourselves", folder.display()))?;
        Ok(Self { folder, scifs: paths::target().join("release/scifs") })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.scifs);
        command
            .args(arguments)
            .env("SCIFS_RUNTIME_DIR", &self.folder)
            .env("SCIFS_LOG", "error")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end and gives what it printed.
    fn scifs(&self, arguments: &[&str]) -> Result<String, Error> {
        let output = output_of(&mut self.command(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a node and waits for the line that says that it is a member.
    fn node(&self, name: &str, options: &str) -> Result<Node, Error> {
        let options = format!("name={name},listen=127.0.0.1:0,memory=256M{options}");
        println!("  scifs node -o {options}");
        let mut child = self
            .command(&["node", "-o", &options])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Spawn { program: "scifs".into(), source })?;
        let output = child.stdout.take();
        let mut node = Node { child, address: String::new() };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line).doing(|| format!("read what {name} says"))?;
        }
        node.address = line
            .split("listens on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .ok_or_else(|| Error::Usage(format!("{name} did not become a member")))?
            .to_owned();
        Ok(node)
    }

    fn wait_for_members(&self, name: &str, count: usize) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let status: serde_json::Value =
                serde_json::from_str(&self.scifs(&["status", name, "--json"])?)
                    .map_err(|error| Error::Usage(format!("scifs status printed no JSON: {error}")))?;
            if status["members"].as_array().is_some_and(|members| members.len() == count) {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err(Error::Usage(format!("{name} did not see {count} members within {} s", PATIENCE.as_secs())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("demo: cannot remove {}: {error}", folder.display());
    }
}

/// A node that ends with the demo, also when the demo fails.
struct Node {
    child: Child,
    address: String,
}

impl Node {
    fn kill(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
