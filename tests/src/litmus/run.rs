//! Runs tests: starts the processes, makes the files of each round, and compares what was seen with what is allowed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::control::{Control, ROUND_MAX};
use super::pace::Pace;
use super::place::Layout;
use super::play::{Order, file_path};
use super::program::{Program, THREADS_MAX};
use super::tso::Outcome;
use super::verdict::Verdict;
use crate::model::random::Random;
use crate::shared::surface::{Nodes, Surface, Surfaces};
use crate::shared::team::{Silence, Worker};
use crate::shared::watchdog::Watchdog;

/// Of one test, so that a broken mount doesn't print the same sentence a thousand times.
const COMPLAINTS_MAX: usize = 5;

#[derive(Clone, Debug)]
pub struct Plan {
    pub folders: Vec<PathBuf>,
    pub surfaces: Surfaces,
    pub place: Nodes,
    pub iterations: usize,
    pub seed: u64,
    /// How long a page takes to move, if it isn't to be measured.
    pub move_ns: Option<u64>,
    /// See `Order::sabotage`.
    pub sabotage: bool,
    /// How long a round may take before its processes are said to hang.
    pub patience: Duration,
}

#[derive(Debug)]
pub struct Runner<'a> {
    plan: &'a Plan,
    control: Control,
    control_path: PathBuf,
    /// One a thread, of each surface.
    workers: Vec<(Surface, Vec<Worker>)>,
    watchdog: Watchdog,
    pace: Pace,
    rounds: u64,
}

impl<'a> Runner<'a> {
    pub fn new(plan: &'a Plan) -> io::Result<Self> {
        let (control, control_path) = Control::new()?;
        let watchdog = Watchdog::start(2 * plan.patience);
        watchdog.doing("measuring how long a page takes to move");
        let given = plan.move_ns.map(|move_ns| Pace { move_ns, call_ns: 0 });
        let pace = given.map_or_else(|| measured(plan), Ok)?;
        let mut runner = Self { plan, control, control_path, workers: Vec::new(), watchdog, pace, rounds: 0 };
        runner.start_workers()?;
        Ok(runner)
    }

    fn start_workers(&mut self) -> io::Result<()> {
        let mut arguments = vec![self.control_path.display().to_string()];
        arguments.extend(self.plan.folders.iter().map(|folder| folder.display().to_string()));
        self.workers.clear();
        for surface in self.plan.surfaces.distinct() {
            let start = |_| self.plan.surfaces.start(surface, "play", &arguments);
            self.workers.push((surface, (0..THREADS_MAX).map(start).collect::<io::Result<_>>()?));
        }
        Ok(())
    }

    /// Of that thread in this round.
    fn worker(&mut self, round: &Round<'_>, thread: usize) -> io::Result<&mut Worker> {
        let wanted = round.surfaces[thread];
        let mut workers = self.workers.iter_mut();
        let found = workers.find(|(surface, _)| *surface == wanted).map(|(_, team)| &mut team[thread]);
        found.ok_or_else(|| io::Error::other("no process has that surface"))
    }

    /// All iterations of one test: in rounds, one for each way to lay out its variables and to give surfaces to threads, and
    /// again until there are enough.
    pub fn test(&mut self, program: &Program) -> io::Result<Verdict> {
        let mut verdict = Verdict::new(program);
        let mut random = Random::new(self.plan.seed ^ hash(&program.name));
        let mut left = self.plan.iterations;
        let rounds = Layout::ALL.len() * self.plan.surfaces.turns();
        let share = left.div_ceil(rounds).clamp(1, ROUND_MAX);
        for (turn, layout) in Layout::ALL.iter().cycle().enumerate() {
            if left == 0 || verdict.complaints.len() >= COMPLAINTS_MAX {
                break;
            }
            let round =
                Round::new(program, turn / Layout::ALL.len(), *layout, share.min(left), self, &mut random);
            left -= round.instances;
            self.round(&round, &mut verdict)?;
        }
        Ok(verdict)
    }

    fn round(&mut self, round: &Round<'_>, verdict: &mut Verdict) -> io::Result<()> {
        self.control.reset();
        let test = format!("{} --seed {}: {}", round.program.name, self.plan.seed, round.describe());
        self.watchdog.doing(format!("creating the files of {test}"));
        let files = round.create(&self.plan.folders)?;
        for (thread, order) in round.orders.iter().enumerate() {
            self.worker(round, thread)?.order(&order.line());
        }
        self.watchdog.doing(format!("running {test}"));
        let complaint = self.wait_for(round)?;
        self.watchdog.doing(format!("reading and removing the files of {test}"));
        match complaint {
            Some(complaint) => {
                verdict.complaints.push(format!("{complaint}; {}", round.describe()));
                self.start_workers()?;
            }
            None => self.judge(round, &files, verdict)?,
        }
        drop(files);
        round.remove(&self.plan.folders)
    }

    /// What kept a thread from finishing, if anything did.
    fn wait_for(&mut self, round: &Round<'_>) -> io::Result<Option<String>> {
        let deadline = Instant::now() + self.plan.patience;
        let mut complaints = Vec::new();
        for thread in 0..round.orders.len() {
            // When one is gone, the others wait for it for ever.
            let deadline = if complaints.is_empty() { deadline } else { Instant::now() };
            let complaint = match self.worker(round, thread)?.answer(deadline) {
                Ok(answer) if answer == "played" => continue,
                Ok(answer) => answer,
                Err(Silence::Hangs) if !complaints.is_empty() => continue,
                Err(silence) => silence.to_string(),
            };
            let (iteration, op) = self.control.was_doing(thread);
            let ops = &round.program.threads[thread];
            let op = ops.get(op).map_or(String::new(), |op| op.to_string());
            complaints.push(format!("thread {thread} in iteration {iteration} at `{op}`: {complaint}"));
        }
        Ok((!complaints.is_empty()).then(|| complaints.join("; ")))
    }

    fn judge(&self, round: &Round<'_>, files: &[File], verdict: &mut Verdict) -> io::Result<()> {
        let contents = round.contents(files)?;
        for instance in 0..round.instances {
            let registers =
                (0..round.program.registers()).map(|index| self.control.register(instance, index));
            let variables =
                (0..round.program.variables()).map(|index| round.value(&contents, index, instance));
            let outcome: Outcome = registers.chain(variables).collect();
            let text = verdict.describe(&outcome);
            if !verdict.count(outcome) && verdict.complaints.len() < COMPLAINTS_MAX {
                let where_ = round.describe();
                verdict.complaints.push(format!("forbidden: {text} in iteration {instance}; {where_}"));
            }
        }
        Ok(())
    }
}

/// Some iterations of a test: on new files, with one layout, and each thread on one node.
struct Round<'a> {
    program: &'a Program,
    layout: Layout,
    instances: usize,
    stem: String,
    orders: Vec<Order>,
    /// Of the threads.
    surfaces: Vec<Surface>,
    /// Which node makes the files and reads how they ended.
    judge: usize,
}

impl<'a> Round<'a> {
    fn new(
        program: &'a Program,
        turn: usize,
        layout: Layout,
        instances: usize,
        runner: &mut Runner<'_>,
        random: &mut Random,
    ) -> Self {
        runner.rounds += 1;
        let stem = format!("litmus-{}-{}", std::process::id(), runner.rounds);
        let threads = program.threads.len();
        let nodes = match runner.plan.place {
            Nodes::Different => spread(threads, runner.plan.folders.len(), random),
            Nodes::Same => vec![random.between(0, runner.plan.folders.len() as u64) as usize; threads],
        };
        let surfaces = (0..threads).map(|thread| runner.plan.surfaces.at(thread + turn)).collect();
        let delay_log2 = runner.pace.delay_log2(program.calls());
        let sparing = random.percent(50);
        let seed = random.between(0, 1 << 40);
        let orders = nodes.into_iter().enumerate().map(|(thread, node)| Order {
            test: program.name.clone(),
            thread,
            node,
            layout,
            instances,
            sparing,
            sabotage: runner.plan.sabotage,
            delay_log2,
            seed,
            stem: stem.clone(),
        });
        let orders = orders.collect();
        let judge = random.between(0, runner.plan.folders.len() as u64) as usize;
        Self { program, layout, instances, stem, orders, surfaces, judge }
    }

    fn files(&self) -> usize {
        self.layout.files(self.program.variables())
    }

    fn create(&self, folders: &[PathBuf]) -> io::Result<Vec<File>> {
        let bytes = self.layout.file_bytes(self.program.variables(), self.instances);
        let create = |index| {
            let path = file_path(&folders[self.judge], &self.stem, index);
            let file = File::options().read(true).write(true).create_new(true).open(&path)?;
            file.set_len(bytes as u64)?;
            Ok(file)
        };
        (0..self.files()).map(create).collect()
    }

    fn remove(&self, folders: &[PathBuf]) -> io::Result<()> {
        (0..self.files())
            .try_for_each(|index| std::fs::remove_file(file_path(&folders[self.judge], &self.stem, index)))
    }

    fn contents(&self, files: &[File]) -> io::Result<Vec<Vec<u8>>> {
        let bytes = self.layout.file_bytes(self.program.variables(), self.instances);
        let read = |file: &File| {
            let mut content = vec![0; bytes];
            file.read_exact_at(&mut content, 0).map(|()| content)
        };
        files.iter().map(read).collect()
    }

    fn value(&self, contents: &[Vec<u8>], variable: usize, instance: usize) -> u64 {
        let at = self.layout.offset(self.program.variables(), variable, instance);
        let bytes = &contents[self.layout.file_of(variable)][at..at + 8];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn describe(&self) -> String {
        let where_ = |(order, surface): (&Order, &Surface)| format!("{} by {}", order.node, surface.name());
        let nodes: Vec<_> = self.orders.iter().zip(&self.surfaces).map(where_).collect();
        let sparing = if self.orders.iter().any(|order| order.sparing) { ", readers read-only" } else { "" };
        format!("variables in {}, threads on nodes {}{sparing}", self.layout.name(), nodes.join(", "))
    }
}

/// How long things take between threads, by the slowest of the surfaces.
fn measured(plan: &Plan) -> io::Result<Pace> {
    let alone = plan.place == Nodes::Same && plan.surfaces.turns() == 1;
    let nodes = if alone { 1 } else { plan.folders.len() };
    // Twice the same, so that there are two mappings.
    let folders = plan.folders[..nodes].iter().chain(&plan.folders[..1]);
    let arguments: Vec<_> = folders.map(|folder| folder.display().to_string()).collect();
    let measure = |surface| {
        let mut worker = plan.surfaces.start(surface, "pace", &arguments)?;
        worker.order("measure");
        let answer = worker.answer(Instant::now() + plan.patience).map_err(io::Error::other)?;
        Pace::parse(&answer).ok_or_else(|| io::Error::other(answer))
    };
    let paces = plan.surfaces.distinct().into_iter().map(measure);
    paces.reduce(|slowest, pace| Ok(slowest?.slower(pace?))).unwrap_or_else(|| Ok(Pace::default()))
}

/// Threads to nodes, as even as can be, in a random order.
fn spread(threads: usize, nodes: usize, random: &mut Random) -> Vec<usize> {
    let shuffled = |random: &mut Random, count: usize| {
        let mut order: Vec<_> = (0..count).collect();
        for index in (1..count).rev() {
            order.swap(index, random.between(0, index as u64 + 1) as usize);
        }
        order
    };
    let nodes_in_order = shuffled(random, nodes);
    shuffled(random, threads).into_iter().map(|position| nodes_in_order[position % nodes]).collect()
}

/// FNV-1a: one test's chance doesn't depend on which others run.
fn hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_spread_evenly_over_nodes() {
        let mut random = Random::new(1);
        for (threads, nodes) in [(2, 2), (3, 2), (4, 2), (4, 4), (3, 4), (2, 1)] {
            let spread = spread(threads, nodes, &mut random);
            let most = (0..nodes).map(|node| spread.iter().filter(|n| **n == node).count()).max();
            assert_eq!((spread.len(), most), (threads, Some(threads.div_ceil(nodes))));
        }
    }
}
