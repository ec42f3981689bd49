//! `scifs-bench`: SciFS beside the least that the machine could take for the same work.

mod fabric;
mod mount;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "scifs-bench", about = "Compares SciFS with minimal programs that do the same work")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A fabric beside raw sockets (or raw verbs): round trips and throughput.
    Fabric(fabric::Options),
    /// Two mounts of SciFS beside a minimal program on FUSE and TCP: faults, migrations, locks, reads and writes.
    Mount(mount::Options),
    /// The other end of a comparison; started by it.
    #[command(hide = true)]
    Serve(fabric::ServeOptions),
    /// A process of a comparison of mounts; started by it.
    #[command(hide = true)]
    MountPart(mount::PartOptions),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Fabric(#[from] fabric::BenchError),
    #[error(transparent)]
    Mount(#[from] mount::MountBenchError),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().what) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("scifs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: &What) -> Result<ExitCode, Error> {
    Ok(match what {
        What::Fabric(options) => fabric::compare(options)?,
        What::Mount(options) => mount::compare(options)?,
        What::Serve(options) => fabric::serve(options)?,
        What::MountPart(options) => mount::part(options)?,
    })
}
