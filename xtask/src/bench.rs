//! `cargo xtask bench`: every comparison against a floor, with optimised code: TCP on this machine, verbs in the guest.

use std::process::{Command, Stdio};

use crate::error::{Error, output_of};
use crate::{guest, paths};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this fabric
    #[arg(long, value_enum)]
    fabric: Option<Fabric>,
    /// Arguments for scifs-bench, after `--`: for example --rounds 9 or --json
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Fabric {
    Tcp,
    Rdma,
}

/// Processors of the guest: a polling receiver and its peer each need one, or they take turns by the scheduler's clock.
const GUEST_CPUS: &str = "2";

pub(crate) fn run(options: &Options) -> Result<u8, Error> {
    output_of(Command::new(env!("CARGO")).current_dir(paths::workspace()).args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "scifs-bench",
    ]))?;
    let mut worst = 0;
    for fabric in [Fabric::Tcp, Fabric::Rdma] {
        if options.fabric.is_none_or(|only| only == fabric) {
            worst = worst.max(compare(fabric, &options.arguments)?);
        }
    }
    Ok(worst)
}

fn compare(fabric: Fabric, arguments: &[String]) -> Result<u8, Error> {
    let program = paths::target().join("release/scifs-bench");
    let mut command = match fabric {
        Fabric::Tcp => Command::new(&program),
        Fabric::Rdma => {
            let mut command = guest::command(&["--cpus", GUEST_CPUS, "--timeout", "1800", "--"]);
            command.arg(&program);
            command
        }
    };
    command.arg("fabric");
    if fabric == Fabric::Rdma {
        command.args(["--fabric", "rdma"]);
    }
    let status = command
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Spawn { program: program.display().to_string(), source })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
