//! A mount beside its floor: the same program of loads, stores and calls on two mounts of SciFS, and on two mounts of a
//! minimal program. Every part is a process of its own; rounds of the two alternate, so that what disturbs the machine
//! disturbs both.

mod floor;
mod load;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::workload::{Reference, WORKLOADS, Workload};
use crate::cluster::{self, Cluster, ClusterError};
use crate::comparison::Common;
use crate::fabric;
use crate::mode::Mode;
use crate::part::{Interrupts, Part, PartError};
use crate::report::{Report, Row, Series};
use crate::sweep::Measured;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// How long receivers poll before they block, of the floor too; without this, what a mount does by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    spin_us: Option<u64>,
    /// The program that is measured; without this, the one beside this program.
    #[arg(long, value_name = "PATH")]
    scifs: Option<PathBuf>,
}

/// The command of the parts.
const COMMAND: &str = "mount-part";

#[derive(Debug, Args)]
pub(crate) struct PartOptions {
    #[command(subcommand)]
    part: PartName,
}

#[derive(Debug, Subcommand)]
enum PartName {
    Load(load::Options),
    FloorFirst {
        #[arg(long)]
        pages: usize,
        #[arg(long)]
        spin_us: u64,
    },
    FloorSecond {
        #[arg(long)]
        pages: usize,
        #[arg(long)]
        spin_us: u64,
        address: String,
    },
    FloorBoth {
        #[arg(long)]
        pages: usize,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MountBenchError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("cannot {what} a TCP connection on loopback: {source}")]
    Socket { what: &'static str, source: std::io::Error },
    #[error(transparent)]
    Mount(#[from] scifs::fuse::kernel::MountError),
    #[error(transparent)]
    Options(#[from] scifs::options::OptionsError),
    #[error(transparent)]
    Raw(#[from] fabric::BenchError),
    #[error("cannot write or read a report: {0}")]
    Json(#[from] serde_json::Error),
}

impl MountBenchError {
    fn socket(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Socket { what, source }
    }
}

pub(crate) fn compare(options: &Options) -> Result<ExitCode, MountBenchError> {
    let bench = Bench::new(options)?;
    let title =
        format!("two mounts of scifs beside a minimal program on FUSE and TCP, spin_us={}", bench.spin_us);
    let mut report = Report::new(title, options.common.rounds);
    for workload in WORKLOADS {
        if options.common.wants(workload.name()) {
            report.add(bench.row(workload)?);
        }
    }
    drop(bench);
    Ok(options.common.finish(&report)?)
}

struct Bench<'a> {
    options: &'a Options,
    spin_us: u64,
    interrupts: Interrupts,
    /// The nodes of SciFS, which live as long as the comparison; a floor is made for each measurement.
    subject: Cluster,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self, MountBenchError> {
        let interrupts = Interrupts::heeded()?;
        let scifs = cluster::program(options.scifs.as_deref())?;
        let spin_us = match options.spin_us {
            Some(spin_us) => spin_us,
            None => scifs::options::Options::load(&["memory=256M"], None)?.spin_us,
        };
        let subject = cluster::start(&scifs, 2, spin_us, &interrupts)?;
        Ok(Self { options, spin_us, interrupts, subject })
    }

    fn row(&self, workload: Workload) -> Result<Row, MountBenchError> {
        let mut row = Row::new(workload.name().into(), None, workload.unit(), workload.bound());
        row.references.extend(workload.references().iter().map(|which| (which.name(), Series::default())));
        for round in 0..self.options.common.rounds {
            row.floor.push(self.floor(workload)?);
            row.subject.push(self.subject(workload, round)?);
            for (which, (_, series)) in workload.references().iter().zip(&mut row.references) {
                series.push(self.reference(*which, workload)?);
            }
        }
        Ok(row)
    }

    fn load(&self, workload: Workload, first: &str, second: &str) -> Result<Measured, MountBenchError> {
        let effort = format!("--effort={}", self.options.common.effort);
        let arguments =
            [COMMAND.into(), "load".into(), workload.argument(), first.to_owned(), second.to_owned(), effort];
        Ok(serde_json::from_str(&Part::run(&arguments, &self.interrupts)?)?)
    }

    fn subject(&self, workload: Workload, round: u32) -> Result<Measured, MountBenchError> {
        let [first, second] = self.subject.mounts.as_slice() else { return Err(ClusterError::Mounts.into()) };
        let name = format!("{}-{round}", workload.argument());
        self.load(workload, &format!("{first}/{name}"), &format!("{second}/{name}"))
    }

    fn floor(&self, workload: Workload) -> Result<Measured, MountBenchError> {
        let pages = format!("--pages={}", workload.pages(self.options.common.effort));
        let spin = format!("--spin-us={}", self.spin_us);
        let first = self.part(&["floor-first", &pages, &spin])?;
        let [first_file, address] = first.said()?;
        let second = self.part(&["floor-second", &pages, &spin, address])?;
        let [second_file] = second.said()?;
        self.load(workload, first_file, second_file)
    }

    fn reference(&self, which: Reference, workload: Workload) -> Result<Measured, MountBenchError> {
        self.interrupts.check()?;
        let mode = Mode::of(self.spin_us);
        match which {
            Reference::RoundTrip => Ok(fabric::raw_page_round_trip(mode, self.options.common.effort)?),
            Reference::Stream => Ok(fabric::raw_stream(mode, self.options.common.effort)?),
            Reference::InProcess => {
                let pages = format!("--pages={}", workload.pages(self.options.common.effort));
                let both = self.part(&["floor-both", &pages])?;
                let [first, second] = both.said()?;
                self.load(workload, first, second)
            }
        }
    }

    fn part(&self, arguments: &[&str]) -> Result<Part, PartError> {
        let arguments: Vec<String> = [COMMAND].iter().chain(arguments).map(ToString::to_string).collect();
        Part::start(&arguments, &self.interrupts)
    }
}

pub(crate) fn part(options: &PartOptions) -> Result<ExitCode, MountBenchError> {
    match &options.part {
        PartName::Load(options) => return Ok(load::main(options)),
        PartName::FloorFirst { pages, spin_us } => floor::first(*pages, Duration::from_micros(*spin_us)),
        PartName::FloorSecond { pages, spin_us, address } => {
            floor::second(*pages, Duration::from_micros(*spin_us), address)
        }
        PartName::FloorBoth { pages } => floor::both(*pages),
    }?;
    Ok(ExitCode::SUCCESS)
}
