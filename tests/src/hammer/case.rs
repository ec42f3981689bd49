//! A file in all directories, the processes that have their hands on it, and those that look at it afterwards.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::run::{Plan, Trouble};
use super::work::{Look, Order, PAGE, PAGES, WORKERS_MAX, Work};
use crate::shared::clock::now_ns;
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::surface::Surface;
use crate::shared::team::Worker;

/// For processes to open the file before they start.
const LEAD: Duration = Duration::from_millis(200);

pub(super) struct Case<'a> {
    pub(super) plan: &'a Plan,
    pub(super) file: String,
    pub(super) workers: Vec<Worker>,
    /// One of each surface.
    lookers: Vec<(Surface, Worker)>,
}

impl<'a> Case<'a> {
    pub(super) fn new(plan: &'a Plan, processes: usize) -> Result<Self, Trouble> {
        if processes > WORKERS_MAX {
            return Err(Trouble::TooMany(processes));
        }
        let file = format!("hammer-{}-{}", std::process::id(), now_ns());
        let mut case = Self { plan, file, workers: Vec::new(), lookers: Vec::new() };
        let path = case.path(0);
        let create = || File::create_new(&path)?.set_len((PAGES * PAGE) as u64);
        create().map_err(|source| Trouble::Io { doing: format!("create {}", path.display()), source })?;
        for worker in 0..processes {
            let worker = case.start(worker)?;
            case.workers.push(worker);
        }
        for surface in plan.surfaces.distinct() {
            let looker = case.start_on(surface, "work", &[])?;
            case.lookers.push((surface, looker));
        }
        Ok(case)
    }

    pub(super) fn start(&self, worker: usize) -> Result<Worker, Trouble> {
        self.start_on(self.plan.surfaces.of(worker, self.nodes()), "work", &[])
    }

    /// A process for one of the hidden parts of the program.
    pub(super) fn start_on(&self, surface: Surface, part: &str, more: &[String]) -> Result<Worker, Trouble> {
        let folders = self.plan.folders.iter().map(|folder| folder.display().to_string());
        let arguments: Vec<_> = more.iter().cloned().chain(folders).collect();
        let started = self.plan.surfaces.start(surface, part, &arguments);
        started.map_err(|source| Trouble::Io { doing: "start a process".into(), source })
    }

    pub(super) fn path(&self, node: usize) -> PathBuf {
        self.plan.folders[node].join(&self.file)
    }

    pub(super) fn nodes(&self) -> usize {
        self.plan.place.of(self.plan.folders.len())
    }

    pub(super) fn node_of(&self, worker: usize) -> usize {
        worker % self.nodes()
    }

    pub(super) fn times(&self) -> (u64, u64) {
        let start_ns = now_ns() + LEAD.as_nanos() as u64;
        (start_ns, start_ns + self.plan.wall.as_nanos() as u64)
    }

    pub(super) fn order(&mut self, work: Work, worker: usize, start_ns: u64, end_ns: u64) {
        let (node, file) = (self.node_of(worker), self.file.clone());
        self.workers[worker].order(&Order { work, worker, node, start_ns, end_ns, file }.line());
    }

    pub(super) fn answer(&mut self, worker: usize, end_ns: u64) -> Result<u64, Trouble> {
        let left = Duration::from_nanos(end_ns.saturating_sub(now_ns())) + self.plan.patience;
        let node = self.node_of(worker);
        number(&mut self.workers[worker], left).map_err(|what| Trouble::Worker { worker, node, what })
    }

    /// The sum of a word of every page, as all see it.
    pub(super) fn sum(&mut self, node: usize, at: usize) -> Result<u64, Trouble> {
        (0..PAGES).map(|page| self.word(node, page * PAGE + at)).sum()
    }

    pub(super) fn expect(
        &mut self,
        node: usize,
        what: &'static str,
        at: usize,
        expected: u64,
    ) -> Result<(), Trouble> {
        let found = self.word(node, at)?;
        if found == expected { Ok(()) } else { Err(self.lost(node, what, found, expected)) }
    }

    pub(super) fn lost(&self, node: usize, what: &'static str, found: u64, expected: u64) -> Trouble {
        Trouble::Lost { where_: self.path(node).display().to_string(), what, found, expected }
    }

    /// A word as this node reads it, and as it is loaded on each surface; they must not differ.
    pub(super) fn word(&mut self, node: usize, at: usize) -> Result<u64, Trouble> {
        let path = self.path(node);
        let told = |source| Trouble::Io { doing: format!("look at {}", path.display()), source };
        let (read, loaded) = both(&path, at).map_err(told)?;
        if read != loaded {
            return Err(self.lost(node, "what is read", read, loaded));
        }
        let look = Look { node, file: self.file.clone(), at }.line();
        for (worker, (surface, looker)) in self.lookers.iter_mut().enumerate() {
            looker.order(&look);
            let told = |what| Trouble::Worker { worker, node, what: format!("{}: {what}", surface.name()) };
            let seen = number(looker, self.plan.patience).map_err(told)?;
            if seen != read {
                return Err(self.lost(node, "what is read", read, seen));
            }
        }
        Ok(read)
    }

    /// Lets all processes go; the file is still there.
    pub(super) fn disband(&mut self) {
        self.workers.clear();
        self.lookers.clear();
    }

    pub(super) fn end(self) -> Result<(), Trouble> {
        let path = self.path(0);
        std::fs::remove_file(&path)
            .map_err(|source| Trouble::Io { doing: format!("remove {}", path.display()), source })
    }
}

/// The next answer of a process, which is a number.
pub(super) fn number(worker: &mut Worker, within: Duration) -> Result<u64, String> {
    let answer = worker.answer(Instant::now() + within).map_err(|silence| silence.to_string())?;
    answer.parse().map_err(|_| answer)
}

fn both(path: &Path, at: usize) -> io::Result<(u64, u64)> {
    let file = File::open(path)?;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at as u64)?;
    let mapped = Mapped::shared(&file, PAGES * PAGE, Access::Read)?;
    Ok((u64::from_le_bytes(bytes), mapped.load(at, Width::Eight)))
}
