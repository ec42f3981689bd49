//! Starts the processes of each case, and looks at what they left in the file, from every directory and through both surfaces.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::work::{DEPTH_AT, ENTRIES_AT, Order, PAGE, PAGES, SLOTS_AT, SUM_AT, WORKERS_MAX, Work};
use crate::model::random::Random;
use crate::shared::clock::{now_ns, wait_until};
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::team::Worker;

/// Of the increments, with two writers.
const SHARE_OF_TWO_PERCENT_MIN: u64 = 40;
/// Of its fair share, with more: they also compete for processors.
const SHARE_OF_FAIR_PERCENT_MIN: u64 = 25;
/// For processes to open the file before they start.
const LEAD: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub struct Plan {
    pub folders: Vec<PathBuf>,
    pub wall: Duration,
    pub patience: Duration,
    pub seed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("worker {worker} on node {node}: {what}")]
    Worker { worker: usize, node: usize, what: String },
    #[error("{where_}: {what} is {found} and should be {expected}")]
    Lost { where_: String, what: &'static str, found: u64, expected: u64 },
    #[error("worker {worker} got {done} of {total} turns: somebody starves it")]
    Starved { worker: usize, done: u64, total: u64 },
    #[error("{0} processes are more than fit on the page")]
    TooMany(usize),
}

/// A file in all directories, and the processes that have their hands on it.
struct Case<'a> {
    plan: &'a Plan,
    file: String,
    workers: Vec<Worker>,
}

/// All processes at once until the time is over; returns what each did.
pub fn hammer(plan: &Plan, work: Work, processes: usize) -> Result<Vec<u64>, Trouble> {
    let mut case = Case::new(plan, processes)?;
    let (start_ns, end_ns) = case.times();
    for worker in 0..processes {
        case.order(work, worker, start_ns, end_ns);
    }
    let mut done = Vec::new();
    for worker in 0..processes {
        done.push(case.answer(worker, end_ns)?);
    }
    case.check(work, &done)?;
    if matches!(work, Work::Add | Work::Slots) {
        fair(&done)?;
    }
    case.end()?;
    Ok(done)
}

/// One process after the other is killed somewhere in its work, and a new one takes its place; the first two live on. Returns
/// how many were killed.
pub fn hammer_and_kill(plan: &Plan) -> Result<u64, Trouble> {
    let processes = 4;
    let mut case = Case::new(plan, processes)?;
    let (start_ns, end_ns) = case.times();
    let mut random = Random::new(plan.seed);
    (0..processes).for_each(|worker| case.order(Work::Wander, worker, start_ns, end_ns));
    let (mut at_ns, mut killed) = (start_ns, 0);
    while at_ns < end_ns {
        at_ns += random.between(1_000_000, 60_000_000);
        wait_until(at_ns.min(end_ns));
        let victim = random.between(2, processes as u64) as usize;
        case.workers[victim] = case.start()?;
        killed += 1;
        case.order(Work::Wander, victim, start_ns, end_ns);
    }
    let survivors = case.answer(0, end_ns)? + case.answer(1, end_ns)?;
    for victim in 2..processes {
        case.answer(victim, end_ns)?;
    }
    for node in 0..plan.folders.len() {
        let words = (0..PAGES).map(|page| case.word(node, page * PAGE)).sum::<Result<u64, _>>()?;
        if words < survivors {
            return Err(case.lost(node, "the sum of all counters", words, survivors));
        }
    }
    case.end()?;
    Ok(killed)
}

impl<'a> Case<'a> {
    fn new(plan: &'a Plan, processes: usize) -> Result<Self, Trouble> {
        if processes > WORKERS_MAX {
            return Err(Trouble::TooMany(processes));
        }
        let file = format!("hammer-{}-{}", std::process::id(), now_ns());
        let mut case = Self { plan, file, workers: Vec::new() };
        let path = case.path(0);
        let create = || File::create_new(&path)?.set_len((PAGES * PAGE) as u64);
        create().map_err(|source| Trouble::Io { doing: format!("create {}", path.display()), source })?;
        for _ in 0..processes {
            let worker = case.start()?;
            case.workers.push(worker);
        }
        Ok(case)
    }

    fn start(&self) -> Result<Worker, Trouble> {
        let mut arguments = vec!["work".to_owned()];
        arguments.extend(self.plan.folders.iter().map(|folder| folder.display().to_string()));
        Worker::start(&arguments).map_err(|source| Trouble::Io { doing: "start a process".into(), source })
    }

    fn path(&self, node: usize) -> PathBuf {
        self.plan.folders[node].join(&self.file)
    }

    fn node_of(&self, worker: usize) -> usize {
        worker % self.plan.folders.len()
    }

    fn times(&self) -> (u64, u64) {
        let start_ns = now_ns() + LEAD.as_nanos() as u64;
        (start_ns, start_ns + self.plan.wall.as_nanos() as u64)
    }

    fn order(&mut self, work: Work, worker: usize, start_ns: u64, end_ns: u64) {
        let (node, file) = (self.node_of(worker), self.file.clone());
        self.workers[worker].order(&Order { work, worker, node, start_ns, end_ns, file }.line());
    }

    fn answer(&mut self, worker: usize, end_ns: u64) -> Result<u64, Trouble> {
        let left = Duration::from_nanos(end_ns.saturating_sub(now_ns())) + self.plan.patience;
        let answer =
            self.workers[worker].answer(Instant::now() + left).map_err(|silence| silence.to_string());
        let number = answer.and_then(|answer| answer.parse().map_err(|_| answer));
        number.map_err(|what| Trouble::Worker { worker, node: self.node_of(worker), what })
    }

    /// What is in the file after all have ended, as every node sees it.
    fn check(&self, work: Work, done: &[u64]) -> Result<(), Trouble> {
        let total = done.iter().sum();
        for node in 0..self.plan.folders.len() {
            match work {
                Work::Add | Work::Tickets => {
                    self.expect(node, "the counter", work.total_at(), total)?;
                }
                Work::Slots => {
                    for (worker, done) in done.iter().enumerate() {
                        self.expect(node, "a slot", SLOTS_AT + 8 * worker, *done)?;
                    }
                }
                Work::Stack => {
                    let depth = self.word(node, DEPTH_AT)?;
                    let entries = (0..depth as usize).map(|index| self.word(node, ENTRIES_AT + 16 * index));
                    let sum = entries.sum::<Result<u64, _>>()?;
                    self.expect(node, "the stack's sum", SUM_AT, sum)?;
                }
                Work::Wander => {
                    let sum = (0..PAGES).map(|page| self.word(node, page * PAGE)).sum::<Result<u64, _>>()?;
                    if sum != total {
                        return Err(self.lost(node, "the sum of all counters", sum, total));
                    }
                }
            }
        }
        Ok(())
    }

    fn expect(&self, node: usize, what: &'static str, at: usize, expected: u64) -> Result<(), Trouble> {
        let found = self.word(node, at)?;
        if found == expected { Ok(()) } else { Err(self.lost(node, what, found, expected)) }
    }

    fn lost(&self, node: usize, what: &'static str, found: u64, expected: u64) -> Trouble {
        Trouble::Lost { where_: self.path(node).display().to_string(), what, found, expected }
    }

    /// A word as this node reads and as it loads it; they must not differ.
    fn word(&self, node: usize, at: usize) -> Result<u64, Trouble> {
        let path = self.path(node);
        let told = |source| Trouble::Io { doing: format!("look at {}", path.display()), source };
        let (read, loaded) = both(&path, at).map_err(told)?;
        if read == loaded { Ok(read) } else { Err(self.lost(node, "what is read", read, loaded)) }
    }

    fn end(self) -> Result<(), Trouble> {
        let path = self.path(0);
        std::fs::remove_file(&path)
            .map_err(|source| Trouble::Io { doing: format!("remove {}", path.display()), source })
    }
}

fn both(path: &Path, at: usize) -> io::Result<(u64, u64)> {
    let file = File::open(path)?;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at as u64)?;
    let mapped = Mapped::shared(&file, PAGES * PAGE, Access::Read)?;
    Ok((u64::from_le_bytes(bytes), mapped.load(at, Width::Eight)))
}

fn fair(done: &[u64]) -> Result<(), Trouble> {
    let total: u64 = done.iter().sum();
    let least = match done.len() {
        2 => total * SHARE_OF_TWO_PERCENT_MIN / 100,
        many => total / many as u64 * SHARE_OF_FAIR_PERCENT_MIN / 100,
    };
    match done.iter().position(|done| *done < least || *done == 0) {
        None => Ok(()),
        Some(worker) => Err(Trouble::Starved { worker, done: done[worker], total }),
    }
}

#[cfg(test)]
mod tests {
    use super::fair;

    #[test]
    fn two_writers_share_and_many_do_not_starve() {
        assert!(fair(&[40, 60]).is_ok() && fair(&[39, 61]).is_err());
        assert!(fair(&[10, 50, 50, 50]).is_ok() && fair(&[5, 50, 50, 50]).is_err());
        assert!(fair(&[0, 0]).is_err());
    }
}
