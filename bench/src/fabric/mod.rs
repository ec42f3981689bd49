//! A fabric beside its floor: the same work, done by a minimal program on the layer below. Both sides of each are
//! processes of their own; rounds of the two alternate, so that what disturbs the machine disturbs both.

mod child;
mod processors;
mod program;
mod rdma_floor;
mod subject;
mod tcp_floor;
mod workload;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::child::Child;
use self::processors::Processors;
use self::program::Program;
use self::workload::{WORKLOADS, Workload};
use crate::comparison::Common;
use crate::mode::{MODES, Mode};
use crate::report::{Bound, Report, Row, Unit};
use crate::sweep::{Measured, PAGE_BYTES};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which fabric.
    #[arg(long, value_enum, default_value = "tcp")]
    fabric: FabricName,
    #[command(flatten)]
    common: Common,
    /// Encrypt, as with secret=FILE; the floor stays plain.
    #[arg(long)]
    encrypted: bool,
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
    let (most, least) = options.fabric.targets();
    let processors = Processors::halves()?;
    let Common { rounds, effort, .. } = options.common;
    let mut report = Report::new(format!("{} beside {}", subject.name(), floor.name()), rounds);
    for mode in MODES {
        for workload in WORKLOADS {
            let name = format!("{} {}", workload.name(), mode.name());
            if !options.common.wants(&name) {
                continue;
            }
            let (unit, bound) = match workload {
                Workload::RoundTrip { .. } => (Unit::Latency, most),
                Workload::Stream { .. } => (Unit::Rate, least),
            };
            let mut row = Row::new(workload.name(), Some(mode.name()), unit, Some(Bound::Floors(bound)));
            for _ in 0..rounds {
                row.floor.push(measure(&processors, floor, mode, workload, effort)?);
                row.subject.push(measure(&processors, subject, mode, workload, effort)?);
            }
            report.add(row);
        }
    }
    Ok(options.common.finish(&report)?)
}

/// One measurement with a fresh other end: nanoseconds of a round trip, or of one byte, as a median or a mean.
fn measure(
    processors: &Processors,
    program: Program,
    mode: Mode,
    workload: Workload,
    effort: u32,
) -> Result<Measured, BenchError> {
    processors.enter_other_end()?;
    let child = Child::start(program, mode)?;
    processors.enter_driver()?;
    let typical = program.drive(&child.address, mode, workload, workload.repeats(effort))?;
    Ok(Measured { typical, p99: None })
}

/// What TCP alone takes for 64 bytes there and a page back, in nanoseconds.
pub(crate) fn raw_page_round_trip(mode: Mode, effort: u32) -> Result<Measured, BenchError> {
    raw(mode, Workload::RoundTrip { answer_bytes: PAGE_BYTES }, effort)
}

/// What TCP alone takes for one byte of many, in nanoseconds.
pub(crate) fn raw_stream(mode: Mode, effort: u32) -> Result<Measured, BenchError> {
    raw(mode, Workload::Stream { message_bytes: 16 * PAGE_BYTES }, effort)
}

/// On all processors, as the mounts are that it is measured beside: a receiver that blocks is woken sooner on the sender's.
fn raw(mode: Mode, workload: Workload, effort: u32) -> Result<Measured, BenchError> {
    let child = Child::start(Program::TcpFloor, mode)?;
    let typical = Program::TcpFloor.drive(&child.address, mode, workload, workload.repeats(effort))?;
    Ok(Measured { typical, p99: None })
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
