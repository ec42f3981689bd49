//! `scifs-bench`: SciFS beside the least that the machine could take for the same work.

mod cluster;
mod comparison;
mod fabric;
mod mapped;
mod mode;
mod mount;
mod part;
mod report;
mod sweep;
mod vm;
mod wire;

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
    /// Programs of two nodes that share memory beside a minimal program on userfaultfd and TCP: faults, migrations, upgrades.
    Vm(vm::Options),
    /// The other end of a comparison; started by it.
    #[command(hide = true)]
    Serve(fabric::ServeOptions),
    /// A process of a comparison of mounts; started by it.
    #[command(hide = true)]
    MountPart(mount::PartOptions),
    /// A process of a comparison of shared memory; started by it.
    #[command(hide = true)]
    VmPart(vm::PartOptions),
    /// Nodes of SciFS for a comparison; started by it.
    #[command(hide = true)]
    Cluster(cluster::Options),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Fabric(#[from] fabric::BenchError),
    #[error(transparent)]
    Mount(#[from] mount::MountBenchError),
    #[error(transparent)]
    Cluster(#[from] cluster::ClusterError),
    #[error(transparent)]
    Vm(#[from] vm::VmBenchError),
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
        What::Vm(options) => vm::compare(options)?,
        What::VmPart(options) => vm::part(options)?,
        What::Cluster(options) => {
            cluster::keep(options)?;
            ExitCode::SUCCESS
        }
    })
}
