//! Plays lists in another process, and makes a list that fails as short as some tries allow.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::play::Order;
use super::steps::PAGE;
use crate::shared::mapped::{Access, Mapped};
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
    arguments: Vec<String>,
    worker: Worker,
    progress: Mapped,
    _file: OwnedFd,
    patience: Duration,
}

impl Exerciser {
    /// A step that takes longer than `patience` is said to hang.
    pub fn new(folders: &[PathBuf], patience: Duration) -> io::Result<Self> {
        let file = memfd_create("fsxr-progress", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, PAGE)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let mut arguments = vec!["play".to_owned(), path];
        arguments.extend(folders.iter().map(|folder| folder.display().to_string()));
        let progress = Mapped::shared(&file, PAGE as usize, Access::ReadWrite)?;
        Ok(Self { worker: Worker::start(&arguments)?, arguments, progress, _file: file, patience })
    }

    /// Plays the kept steps of a list.
    pub fn play(&mut self, order: &Order) -> io::Result<Result<(), Failure>> {
        self.progress.word(0).store(0, Ordering::SeqCst);
        self.worker.order(&order.line());
        let answer = self.answer();
        let at = (self.progress.word(0).load(Ordering::SeqCst) as usize).saturating_sub(1);
        match answer {
            Ok(answer) if answer == "played" => Ok(Ok(())),
            Ok(answer) => Ok(Err(Failure { step: at, why: answer })),
            Err(silence) => {
                self.worker = Worker::start(&self.arguments)?;
                Ok(Err(Failure { step: at, why: format!("at step {at}: {silence}") }))
            }
        }
    }

    /// Waits as long as there is progress.
    fn answer(&mut self) -> Result<String, Silence> {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            match self.worker.answer(Instant::now() + GLANCE.min(self.patience)) {
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
