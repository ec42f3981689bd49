//! Memory that programs of two nodes share through libscifs, beside its floor: the same loads and stores of the same number of processes, each served by
//! itself. Rounds of the two alternate, so that what disturbs the machine disturbs both.

mod end;
mod floor;
mod order;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::end::{End, EndError};
use self::order::{Done, Order};
use self::workload::{WORKLOADS, Workload};
use crate::cluster::{self, Cluster, ClusterError};
use crate::comparison::Common;
use crate::fabric;
use crate::mode::{MODES, Mode};
use crate::part::{Interrupts, Part, PartError};
use crate::report::{Report, Row, Series, Unit};
use crate::sweep::{Measured, PAGE_BYTES, Times};

/// The command of the parts.
const COMMAND: &str = "vm-part";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// How long receivers poll before they block in the comparisons that spin, of the floor too.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    spin_us: u64,
    /// The program that is measured; without this, the one beside this program.
    #[arg(long, value_name = "PATH")]
    scifs: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PartOptions {
    #[command(subcommand)]
    end: End,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum VmBenchError {
    #[error(transparent)]
    Part(#[from] PartError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    End(#[from] EndError),
    #[error(transparent)]
    Raw(#[from] fabric::BenchError),
    #[error("cannot write or read a report: {0}")]
    Json(#[from] serde_json::Error),
}

pub(crate) fn part(options: &PartOptions) -> Result<ExitCode, VmBenchError> {
    end::run(&options.end)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn compare(options: &Options) -> Result<ExitCode, VmBenchError> {
    let bench = Bench {
        options,
        scifs: cluster::program(options.scifs.as_deref())?,
        interrupts: Interrupts::heeded()?,
    };
    let title = format!(
        "two nodes of scifs through libscifs beside a minimal program on userfaultfd and TCP, spin_us={}",
        options.spin_us
    );
    let mut report = Report::new(title, options.common.rounds);
    for mode in MODES {
        bench.rows(mode, &mut report)?;
    }
    Ok(options.common.finish(&report)?)
}

struct Bench<'a> {
    options: &'a Options,
    scifs: PathBuf,
    interrupts: Interrupts,
}

impl Bench<'_> {
    fn rows(&self, mode: Mode, report: &mut Report) -> Result<(), VmBenchError> {
        let mut cluster: Option<Cluster> = None;
        for workload in WORKLOADS {
            if !self.options.common.wants(&format!("{} {}", workload.name(), mode.name())) {
                continue;
            }
            let nodes = workload.places().into_iter().max().map_or(1, |last| last + 1).max(2);
            let kept = cluster.take().filter(|cluster| cluster.mounts.len() == nodes);
            let kept = match kept {
                Some(kept) => kept,
                None => cluster::start(&self.scifs, nodes, self.spin_us(mode), &self.interrupts)?,
            };
            report.add(self.row(workload, mode, &kept)?);
            cluster = Some(kept);
        }
        Ok(())
    }

    fn spin_us(&self, mode: Mode) -> u64 {
        match mode {
            Mode::Spinning => self.options.spin_us,
            Mode::Blocking => 0,
        }
    }

    fn row(&self, workload: Workload, mode: Mode, cluster: &Cluster) -> Result<Row, VmBenchError> {
        let mut row = Row::new(workload.name(), Some(mode.name()), workload.unit(), workload.bound());
        let mut raw = Series::default();
        for round in 0..self.options.common.rounds {
            if workload.has_floor() {
                row.floor.push(self.floor(workload, mode)?);
            }
            row.subject.push(self.subject(workload, cluster, round)?);
            match workload {
                Workload::Sequential => raw.push(fabric::raw_stream(mode, self.options.common.effort)?),
                Workload::ReadMiss => {
                    raw.push(fabric::raw_page_round_trip(mode, self.options.common.effort)?)
                }
                _ => {}
            }
        }
        row.references.push(("raw TCP", raw));
        Ok(row)
    }

    fn floor(&self, workload: Workload, mode: Mode) -> Result<Measured, VmBenchError> {
        let pages = format!("--pages={}", workload.pages(self.options.common.effort));
        let spin = format!("--spin-us={}", self.spin_us(mode));
        let first = self.end(&["floor-first", &pages, &spin])?;
        let [address] = first.said()?.clone();
        let second = self.end(&["floor-second", &pages, &spin, &address])?;
        if workload == Workload::LocalFault {
            // What this side has, and has not mapped yet.
            return Ends { ends: vec![second, first], daemons: &[] }
                .counted(workload, self.options.common.effort);
        }
        let mut ends = Ends { ends: vec![first, second], daemons: &[] };
        ends.prepare(workload, self.options.common.effort)?;
        ends.counted(workload, self.options.common.effort)
    }

    fn subject(&self, workload: Workload, cluster: &Cluster, round: u32) -> Result<Measured, VmBenchError> {
        let pages = format!("--pages={}", workload.pages(self.options.common.effort));
        let mut ends = Ends { ends: Vec::new(), daemons: &cluster.daemons };
        for mount in workload.places().iter().filter_map(|node| cluster.mounts.get(*node)) {
            let file = format!("{mount}/round-{round}");
            let make = if ends.ends.is_empty() { &["--make"][..] } else { &[] };
            ends.ends.push(self.end(&[&["program", &pages][..], make, &[&file]].concat())?);
        }
        ends.prepare(workload, self.options.common.effort)?;
        let measured = ends.counted(workload, self.options.common.effort)?;
        // Whoever has made the file removes it, after the others.
        ends.ends.into_iter().rev().try_for_each(Part::finish)?;
        Ok(measured)
    }

    fn end(&self, arguments: &[&str]) -> Result<Part, PartError> {
        let arguments: Vec<String> = [COMMAND].iter().chain(arguments).map(ToString::to_string).collect();
        Part::start_load(&arguments, &self.interrupts)
    }
}

/// The processes that use memory.
struct Ends<'a> {
    ends: Vec<Part>,
    /// Other processes that work for them.
    daemons: &'a [u32],
}

impl Ends<'_> {
    fn prepare(&mut self, workload: Workload, effort: u32) -> Result<(), VmBenchError> {
        self.obey(&workload.preparation(effort)).map(drop)
    }

    fn counted(&mut self, workload: Workload, effort: u32) -> Result<Measured, VmBenchError> {
        let worked_before_ns = self.worked_ns()?;
        let mut times = Times::default();
        let (mut elapsed_ns, mut accesses) = (0.0, 0);
        for (orders, counts) in workload.steps(effort) {
            let done = self.obey(&orders)?;
            if counts {
                elapsed_ns += done.iter().map(|done| done.elapsed_ns).fold(0.0, f64::max);
                accesses += orders.iter().map(|(_, order)| order.pages().len()).sum::<usize>();
                times.nanos.extend(done.into_iter().flat_map(|done| done.nanos));
            }
        }
        let each = |nanos: f64| Measured { typical: nanos / accesses as f64, p99: None };
        Ok(match (workload, workload.unit()) {
            (Workload::Processors, _) => each(self.worked_ns()? - worked_before_ns),
            (_, Unit::Latency) => times.measured(),
            (_, Unit::Rate) => each(elapsed_ns / PAGE_BYTES as f64),
            (_, Unit::Frequency) => each(elapsed_ns),
        })
    }

    /// Gives the orders at once, and waits until all are done.
    fn obey(&mut self, orders: &[(usize, Order)]) -> Result<Vec<Done>, VmBenchError> {
        for (who, order) in orders {
            if let Some(end) = self.ends.get_mut(*who) {
                end.tell(&serde_json::to_string(order)?)?;
            }
        }
        let mut done = Vec::new();
        for (who, _) in orders {
            if let Some(end) = self.ends.get_mut(*who) {
                done.push(serde_json::from_str(&end.line()?)?);
            }
        }
        Ok(done)
    }

    /// All that these processes have worked so far.
    fn worked_ns(&mut self) -> Result<f64, VmBenchError> {
        let asked: Vec<_> = (0..self.ends.len()).map(|who| (who, Order::nothing())).collect();
        let ends: f64 = self.obey(&asked)?.iter().map(|done| done.worked_ns).sum();
        Ok(ends + self.daemons.iter().filter_map(|pid| cluster::worked_ns(*pid)).sum::<f64>())
    }
}
