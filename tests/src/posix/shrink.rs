//! Plays lists in another process, and makes a list that fails as short as some tries allow.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::play::Order;
use super::steps::{PAGE, Step, Steps};
use super::turns::{Task, Turn};
use crate::shared::mapped::{Access, Mapped};
use crate::shared::surface::Surfaces;
use crate::shared::team::{Silence, Worker};

/// Runs that a search for a shorter list may take.
const TRIES_MAX: usize = 150;
/// How often progress is looked at.
const GLANCE: Duration = Duration::from_secs(2);

/// Why a list failed, and at which of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub step: usize,
    pub why: String,
}

#[derive(Debug)]
pub struct Exerciser {
    surfaces: Surfaces,
    arguments: Vec<String>,
    folders: Vec<PathBuf>,
    /// One that plays everything, or one for each directory.
    workers: Vec<Worker>,
    progress: Mapped,
    _file: OwnedFd,
    patience: Duration,
    runs: u64,
}

impl Exerciser {
    /// A step that takes longer than `patience` is said to hang. With `processes` each directory has one of its own, and
    /// they take turns.
    pub fn new(
        folders: &[PathBuf],
        surfaces: &Surfaces,
        patience: Duration,
        processes: bool,
    ) -> io::Result<Self> {
        let file = memfd_create("fsxr-progress", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, PAGE)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let mut arguments = vec![path];
        arguments.extend(folders.iter().map(|folder| folder.display().to_string()));
        let progress = Mapped::shared(&file, PAGE as usize, Access::ReadWrite)?;
        let count = if processes { folders.len() } else { 1 };
        let start = |worker| surfaces.start(surfaces.at(worker), "play", &arguments);
        let workers = (0..count).map(start).collect::<Result<_, _>>()?;
        let (folders, surfaces) = (folders.to_vec(), surfaces.clone());
        Ok(Self { surfaces, arguments, folders, workers, progress, _file: file, patience, runs: 0 })
    }

    /// Plays the kept steps of a list.
    pub fn play(&mut self, order: &Order) -> io::Result<Result<(), Failure>> {
        if self.workers.len() > 1 {
            return self.play_by_turns(order);
        }
        self.progress.word(0).store(0, Ordering::SeqCst);
        self.workers[0].order(&Task::Alone(order.clone()).line());
        let answer = self.answer();
        let at = (self.progress.word(0).load(Ordering::SeqCst) as usize).saturating_sub(1);
        match answer {
            Ok(answer) if answer == "played" => Ok(Ok(())),
            Ok(answer) => Ok(Err(Failure { step: at, why: answer })),
            Err(silence) => {
                self.restart(0)?;
                Ok(Err(Failure { step: at, why: format!("at step {at}: {silence}") }))
            }
        }
    }

    fn restart(&mut self, worker: usize) -> io::Result<()> {
        self.workers[worker] = self.surfaces.start(self.surfaces.at(worker), "play", &self.arguments)?;
        Ok(())
    }

    fn play_by_turns(&mut self, order: &Order) -> io::Result<Result<(), Failure>> {
        self.runs += 1;
        let name = format!("fsxr-{}-{}", std::process::id(), self.runs);
        let path = self.folders[0].join(&name);
        File::create_new(&path)?;
        let played = self.turns(order, &name);
        std::fs::remove_file(path)?;
        played
    }

    fn turns(&mut self, order: &Order, name: &str) -> io::Result<Result<(), Failure>> {
        let list = Steps::new(order.seed, order.count, self.folders.len(), order.maps);
        let steps: Vec<_> = order.kept.iter().filter_map(|index| list.steps.get(*index)).collect();
        let everybody = 0..self.workers.len();
        let join = |node| (node, 0, Task::Join { node, name: name.to_owned(), order: order.clone() });
        let step = |(at, step): (usize, &&Step)| {
            let turn = |node, turn| (node, step.index, Task::Turn { at, turn });
            [turn(step.node, Turn::Do), turn(step.witness, Turn::See)]
        };
        let (behind, last) = (steps.len(), steps.last().map_or(0, |step| step.index));
        let end = |node| (node, last, Task::Turn { at: behind, turn: Turn::See });
        let tasks = everybody.clone().map(join);
        let tasks = tasks.chain(steps.iter().enumerate().flat_map(step)).chain(everybody.clone().map(end));
        for (node, index, task) in tasks.chain(everybody.map(|node| (node, last, Task::Part))) {
            let worker = &mut self.workers[node];
            worker.order(&task.line());
            match worker.answer(Instant::now() + self.patience) {
                Ok(answer) if !answer.starts_with("failed") => {}
                Ok(answer) => {
                    return Ok(Err(Failure {
                        step: index,
                        why: format!("step {index}, node {node}: {answer}"),
                    }));
                }
                Err(silence) => {
                    self.restart(node)?;
                    return Ok(Err(Failure {
                        step: index,
                        why: format!("step {index}, node {node}: {silence}"),
                    }));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Waits as long as there is progress.
    fn answer(&mut self) -> Result<String, Silence> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            match self.workers[0].answer(Instant::now() + GLANCE.min(self.patience)) {
                Err(Silence::Hangs) => {
                    let now = self.progress.word(0).load(Ordering::SeqCst);
                    if now != seen {
                        (seen, since) = (now, Instant::now());
                    } else if since.elapsed() > self.patience {
                        return Err(Silence::Hangs);
                    }
                }
                other => return other,
            }
        }
    }

    /// A shorter list that fails too: without what comes after the failure, then without ever smaller pieces.
    pub fn shrink(&mut self, order: &Order, failure: &Failure) -> io::Result<(Order, Failure)> {
        let (mut best, mut why) = (order.clone(), failure.clone());
        best.kept.retain(|index| *index <= failure.step);
        let mut piece = best.kept.len() / 2;
        let mut tries = 0;
        while piece > 0 && tries < TRIES_MAX {
            let mut at = 0;
            while at < best.kept.len() && tries < TRIES_MAX {
                let mut shorter = best.clone();
                shorter.kept.drain(at..(at + piece).min(best.kept.len()));
                tries += 1;
                if shorter.kept.is_empty() {
                    break;
                }
                match self.play(&shorter)? {
                    Ok(()) => at += piece,
                    Err(failure) => {
                        shorter.kept.retain(|index| *index <= failure.step);
                        (best, why) = (shorter, failure);
                    }
                }
            }
            piece /= 2;
        }
        Ok((best, why))
    }
}
