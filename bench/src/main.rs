//! `scifs-bench`: SciFS beside the least that the machine could take for the same work.

mod fabric;

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
    /// The other end of a comparison; started by it.
    #[command(hide = true)]
    Serve(fabric::ServeOptions),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Fabric(options) => fabric::compare(&options),
        What::Serve(options) => fabric::serve(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("scifs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
