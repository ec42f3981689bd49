//! `cargo xtask bench`: every comparison against a floor, with optimised code: TCP, mounts and programs that share memory on this machine, verbs in the
//! guest.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cargo::build_release;
use crate::error::Error;
use crate::setup::{self, Capability};
use crate::{guest, paths};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this; without it, everything
    what: Option<What>,
    /// Only this fabric
    #[arg(long, value_enum)]
    fabric: Option<Fabric>,
    /// Arguments for scifs-bench, after `--`: for example --rounds 9 or --json
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Fabrics beside raw sockets and raw verbs
    Fabric,
    /// Two mounts beside a minimal program on FUSE and TCP
    Mount,
    /// Programs of two nodes that share memory beside a minimal program on userfaultfd and TCP
    Vm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Fabric {
    Tcp,
    Rdma,
}

/// Processors of the guest: a polling receiver and its peer each need one, or they take turns by the scheduler's clock.
const GUEST_CPUS: &str = "2";

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    let fabrics = options.what.is_none_or(|what| what == What::Fabric);
    // Who asks for a fabric means no mount.
    let mounted = [(What::Mount, "mount"), (What::Vm, "vm")];
    let wanted = |which: What| options.what.map_or(options.fabric.is_none(), |what| what == which);
    if mounted.iter().any(|(which, _)| wanted(*which)) {
        setup::ensure(&[Capability::Fuse])?;
    }
    build_release(&["scifs-bench", "scifs"])?;
    let mut worst = 0;
    for fabric in [Fabric::Tcp, Fabric::Rdma] {
        if fabrics && options.fabric.is_none_or(|only| only == fabric) {
            worst = worst.max(compare(command_of(fabric), &options.arguments)?);
        }
    }
    for (_, name) in mounted.iter().filter(|(which, _)| wanted(*which)) {
        let mut command = Command::new(program());
        command.arg(name);
        worst = worst.max(compare(command, &options.arguments)?);
    }
    Ok(worst)
}

fn program() -> PathBuf {
    paths::target().join("release/scifs-bench")
}

fn command_of(fabric: Fabric) -> Command {
    match fabric {
        Fabric::Tcp => {
            let mut command = Command::new(program());
            command.arg("fabric");
            command
        }
        Fabric::Rdma => {
            let mut command = guest::command(&["--cpus", GUEST_CPUS, "--timeout", "1800", "--"]);
            command.arg(program()).args(["fabric", "--fabric", "rdma"]);
            command
        }
    }
}

fn compare(mut command: Command, arguments: &[String]) -> Result<u8, Error> {
    let status = command
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Spawn { program: program().display().to_string(), source })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
