//! A mount beside its floor: the same program of loads, stores and calls on two mounts of SciFS, and on two mounts of a
//! minimal program. Every part is a process of its own; rounds of the two alternate, so that what disturbs the machine
//! disturbs both.

mod floor;
mod load;
mod part;
mod report;
mod subject;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use self::load::Measured;
use self::part::{Interrupts, LOAD, Part};
use self::report::{Reference, Report, Row};
use self::workload::{WORKLOADS, Workload};
use crate::fabric;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each comparison is repeated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Operations, or bytes, of one measurement, in percent of the usual.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    effort: u32,
    /// Machine-readable.
    #[arg(long)]
    json: bool,
    /// Fail where a target is missed.
    #[arg(long)]
    check: bool,
    /// Only comparisons whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How long receivers poll before they block, of the floor too; without this, what a mount does by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    spin_us: Option<u64>,
    /// The program that is measured; without this, the one beside this program.
    #[arg(long, value_name = "PATH")]
    scifs: Option<PathBuf>,
}

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
    Subject {
        #[arg(long)]
        spin_us: u64,
        scifs: PathBuf,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MountBenchError {
    #[error("cannot start a part of the comparison: {0}")]
    Spawn(std::io::Error),
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    #[error("interrupted; what had been mounted is unmounted")]
    Interrupted,
    #[error("the part {name} of the comparison ended or said what it should not: {said}")]
    Part { name: String, said: String },
    #[error("the part {name} of the comparison has not answered for {seconds} s")]
    Stuck { name: String, seconds: u64 },
    #[error("cannot make the folder {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(
        "cannot run {path}: {source}; build it first: cargo build --release -p scifs, or name it with --scifs"
    )]
    Scifs { path: PathBuf, source: std::io::Error },
    #[error("scifs {command} failed: {said}")]
    Refused { command: String, said: String },
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
    let mut report = Report::new(options.rounds, bench.spin_us);
    for workload in WORKLOADS {
        if options.only.as_ref().is_none_or(|only| workload.name().contains(only.as_str())) {
            report.add(&bench.row(workload)?);
        }
    }
    drop(bench);
    if options.json {
        println!("{}", report.json()?);
    } else {
        print!("{report}");
    }
    let missed = options.check && report.misses_targets();
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Bench<'a> {
    options: &'a Options,
    spin_us: u64,
    interrupts: Interrupts,
    /// The nodes of SciFS, which live as long as the comparison; a floor is made for each measurement.
    subject: Part,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self, MountBenchError> {
        let interrupts = Interrupts::heeded()?;
        let beside = || std::env::current_exe().map(|own| own.with_file_name("scifs"));
        let scifs = match &options.scifs {
            Some(path) => path.clone(),
            None => beside().map_err(MountBenchError::Spawn)?,
        };
        let spin_us = match options.spin_us {
            Some(spin_us) => spin_us,
            None => scifs::options::Options::load(&["memory=256M"], None)?.spin_us,
        };
        let spin = format!("--spin-us={spin_us}");
        let subject =
            Part::start(&["subject".into(), spin, scifs.to_string_lossy().into_owned()], &interrupts)?;
        Ok(Self { options, spin_us, interrupts, subject })
    }

    fn row(&self, workload: Workload) -> Result<Row, MountBenchError> {
        let mut row = Row::new(workload);
        for round in 0..self.options.rounds {
            row.floor.push(self.floor(workload)?);
            row.subject.push(self.subject(workload, round)?);
            for (which, series) in &mut row.references {
                series.push(self.reference(*which, workload)?);
            }
        }
        Ok(row)
    }

    fn load(&self, workload: Workload, first: &str, second: &str) -> Result<Measured, MountBenchError> {
        let effort = format!("--effort={}", self.options.effort);
        let arguments = [LOAD.into(), workload.argument(), first.to_owned(), second.to_owned(), effort];
        Ok(serde_json::from_str(&Part::run(&arguments, &self.interrupts)?)?)
    }

    fn subject(&self, workload: Workload, round: u32) -> Result<Measured, MountBenchError> {
        let [first, second] = self.said(&self.subject)?;
        let name = format!("{}-{round}", workload.argument());
        self.load(workload, &format!("{first}/{name}"), &format!("{second}/{name}"))
    }

    fn floor(&self, workload: Workload) -> Result<Measured, MountBenchError> {
        let pages = format!("--pages={}", workload.pages(self.options.effort));
        let spin = format!("--spin-us={}", self.spin_us);
        let first = Part::start(&["floor-first".into(), pages.clone(), spin.clone()], &self.interrupts)?;
        let [first_file, address] = self.said(&first)?;
        let second =
            Part::start(&["floor-second".into(), pages, spin, address.to_owned()], &self.interrupts)?;
        let [second_file] = self.said(&second)?;
        self.load(workload, first_file, second_file)
    }

    fn reference(&self, which: Reference, workload: Workload) -> Result<Measured, MountBenchError> {
        self.interrupts.check()?;
        let spinning = self.spin_us > 0;
        let raw = |typical| Measured { typical, p99: None };
        match which {
            Reference::RoundTrip => Ok(raw(fabric::raw_page_round_trip(spinning, self.options.effort)?)),
            Reference::Stream => Ok(raw(fabric::raw_stream(spinning, self.options.effort)?)),
            Reference::InProcess => {
                let pages = format!("--pages={}", workload.pages(self.options.effort));
                let both = Part::start(&["floor-both".into(), pages], &self.interrupts)?;
                let [first, second] = self.said(&both)?;
                self.load(workload, first, second)
            }
        }
    }

    fn said<'p, const N: usize>(&self, part: &'p Part) -> Result<&'p [String; N], MountBenchError> {
        part.said
            .first_chunk()
            .ok_or_else(|| MountBenchError::Part { name: "mounting".into(), said: part.said.join(" ") })
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
        PartName::Subject { spin_us, scifs } => subject::keep(scifs, *spin_us),
    }?;
    Ok(ExitCode::SUCCESS)
}
