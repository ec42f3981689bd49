//! `cargo xtask`: the commands that the README names. One module each.
//!
//! An own failure of xtask exits with [`error::EXIT_XTASK`], so that it is told apart from the exit code of a
//! command that xtask ran for somebody.

mod bench;
mod cargo;
mod demo;
mod error;
mod guest;
mod install;
mod paths;
mod setup;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{EXIT_XTASK, Error};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and demonstrate SciFS")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a command in a virtual machine that has soft-RoCE devices
    Guest(guest::Options),
    /// Show a small cluster at work on this machine
    Demo(demo::Options),
    /// Compare with floors: raw sockets here, raw verbs in the guest
    Bench(bench::Options),
    /// Run every test, or some steps of them
    Test(test::Options),
    /// Install the command, its manual page, completions and systemd units
    Install(install::Options),
    /// Install the Debian packages that the other commands need
    Setup(setup::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Guest(options) => guest::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Install(options) => install::run(&options),
        Command::Setup(options) => setup::run(&options),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => report(&error),
    }
}

/// Prints the error and what caused it, one below the other.
fn report(error: &Error) -> ExitCode {
    eprintln!("xtask: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        eprintln!("  because: {inner}");
        cause = inner.source();
    }
    ExitCode::from(error.exit_code().unwrap_or(EXIT_XTASK))
}
