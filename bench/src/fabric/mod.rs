//! A fabric beside its floor: the same work, done by a minimal program on the layer below. Both sides of each are
//! processes of their own; rounds of the two alternate, so that what disturbs the machine disturbs both.

mod child;
mod processors;
mod program;
mod rdma_floor;
mod report;
mod subject;
mod tcp_floor;
mod workload;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::child::Child;
use self::processors::Processors;
use self::program::Program;
use self::report::{Report, Row};
use self::workload::{MODES, Mode, WORKLOADS, Workload};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which fabric.
    #[arg(long, value_enum, default_value = "tcp")]
    fabric: FabricName,
    /// How often each comparison is repeated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Round trips, or messages, of one measurement, in percent of the usual.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    effort: u32,
    /// Machine-readable.
    #[arg(long)]
    json: bool,
    /// Fail where a target is missed.
    #[arg(long)]
    check: bool,
    /// Encrypt, as with secret=FILE; the floor stays plain.
    #[arg(long)]
    encrypted: bool,
    /// Only workloads and modes whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    program: Program,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FabricName {
    Tcp,
    Rdma,
}

impl FabricName {
    fn programs(self, encrypted: bool) -> (Program, Program) {
        match self {
            Self::Tcp if encrypted => (Program::TcpFloor, Program::TcpEncrypted),
            Self::Tcp => (Program::TcpFloor, Program::Tcp),
            // What is sent over verbs is never encrypted.
            Self::Rdma => (Program::RdmaFloor, Program::Rdma),
        }
    }

    /// The most that a round trip may take, and the least throughput, in floors.
    fn targets(self) -> (f64, f64) {
        match self {
            Self::Tcp => (1.15, 0.9),
            Self::Rdma => (1.2, 0.9),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("cannot start the other end of the comparison: {0}")]
    Spawn(std::io::Error),
    #[error("the other end of the comparison ended early or said {0:?}")]
    Child(String),
    #[error("{what}: {source}")]
    Socket { what: &'static str, source: std::io::Error },
    #[error(transparent)]
    Fabric(#[from] scios::verbs::FabricError),
    #[error(transparent)]
    Memory(#[from] scios::memory::MemoryError),
    #[error("cannot choose the processors to run on: {0}")]
    Processors(std::io::Error),
    #[error("the fabric said {0} where that cannot be")]
    Event(String),
    #[error("nothing happened for {0} s")]
    Stuck(u64),
    #[error("cannot write the report: {0}")]
    Report(#[from] serde_json::Error),
}

pub(crate) fn compare(options: &Options) -> Result<ExitCode, BenchError> {
    let (floor, subject) = options.fabric.programs(options.encrypted);
    let targets = options.fabric.targets();
    let processors = Processors::halves()?;
    let mut report = Report::new(subject.name(), floor.name(), options.rounds);
    for mode in MODES {
        for workload in WORKLOADS {
            let name = format!("{} {}", workload.name(), mode.name());
            if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let mut row = Row::new(workload, mode, targets);
            for _ in 0..options.rounds {
                row.floor.push(measure(&processors, floor, mode, workload, options.effort)?);
                row.subject.push(measure(&processors, subject, mode, workload, options.effort)?);
            }
            report.add(row);
        }
    }
    if options.json {
        println!("{}", report.json()?);
    } else {
        print!("{report}");
    }
    let missed = options.check && report.misses_targets();
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One measurement with a fresh other end: nanoseconds of a round trip, or of one byte, as a median or a mean.
fn measure(
    processors: &Processors,
    program: Program,
    mode: Mode,
    workload: Workload,
    effort: u32,
) -> Result<f64, BenchError> {
    processors.enter_other_end()?;
    let child = Child::start(program, mode)?;
    processors.enter_driver()?;
    program.drive(&child.address, mode, workload, workload.repeats(effort))
}

/// What TCP alone takes for 64 bytes there and a page back, in nanoseconds.
pub(crate) fn raw_page_round_trip(spinning: bool, effort: u32) -> Result<f64, BenchError> {
    raw(spinning, Workload::RoundTrip { answer_bytes: workload::PAGE_BYTES }, effort)
}

/// What TCP alone takes for one byte of many, in nanoseconds.
pub(crate) fn raw_stream(spinning: bool, effort: u32) -> Result<f64, BenchError> {
    raw(spinning, Workload::Stream { message_bytes: 16 * workload::PAGE_BYTES }, effort)
}

/// On all processors, as the mounts are that it is measured beside: a receiver that blocks is woken sooner on the sender's.
fn raw(spinning: bool, workload: Workload, effort: u32) -> Result<f64, BenchError> {
    let mode = if spinning { Mode::Spinning } else { Mode::Blocking };
    let child = Child::start(Program::TcpFloor, mode)?;
    Program::TcpFloor.drive(&child.address, mode, workload, workload.repeats(effort))
}

pub(crate) fn serve(options: &ServeOptions) -> Result<ExitCode, BenchError> {
    options.program.serve(options.mode, |address| {
        println!("ready {address}");
        // Until the one who started us is done, or gone.
        let mut end = String::new();
        let _ = std::io::stdin().read_line(&mut end);
    })?;
    Ok(ExitCode::SUCCESS)
}
