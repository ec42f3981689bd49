//! Processes that work while others are killed, processes that are killed, and those that start and kill them.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::{Pid, Signal, set_parent_process_death_signal};

use super::work::{PAGE, PAGES, open};
use crate::model::random::Random;
use crate::shared::calls;
use crate::shared::clock::{nap, now_ns};
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::surface::Surface;
use crate::shared::team;

/// In every page: what those add to who live on, what those who are killed, and what is stored afterwards.
pub const SURVIVORS_AT: usize = 0;
pub const VICTIMS_AT: usize = 64;
const TOUCHED_AT: usize = 128;
/// As many live at once, of those who are killed.
const LIVING: usize = 3;
/// A victim lives for at most 2^n ns, n from the first of these to the second: from its first instruction to long in its work.
const LIFE_LOG2: (u64, u64) = (12, 23);
/// For a killed process to be gone.
const DEATH: Duration = Duration::from_secs(5);
/// Of a mapping that is made and undone again and again.
const VISIT: usize = 8;

/// Words that the processes of a storm share besides the file.
#[derive(Debug)]
pub struct Control {
    memory: Mapped,
    file: OwnedFd,
}

impl Control {
    pub fn new() -> io::Result<Self> {
        let file = memfd_create("hammer-control", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, PAGE as u64)?;
        Self::over(file)
    }

    fn open(path: &Path) -> io::Result<Self> {
        Self::over(File::options().read(true).write(true).open(path)?.into())
    }

    fn over(file: OwnedFd) -> io::Result<Self> {
        Ok(Self { memory: Mapped::shared(&file, PAGE, Access::ReadWrite)?, file })
    }

    /// As long as this process lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub fn get(&self, word: Word) -> u64 {
        self.memory.word(word.at()).load(Ordering::SeqCst)
    }

    pub fn add(&self, word: Word, value: u64) {
        self.memory.word(word.at()).fetch_add(value, Ordering::SeqCst);
    }

    fn at_least(&self, word: Word, value: u64) {
        self.memory.word(word.at()).fetch_max(value, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// Not zero: who lives on may end.
    Stop,
    Killed,
    /// What victims have added to pages.
    Added,
    /// The longest that one access of those took who live on.
    LongestNs,
}

impl Word {
    fn at(self) -> usize {
        64 * self as usize
    }
}

/// How a process gets its hands on the pages before it is killed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// By fork, with its parent's mapping
    Heir,
    /// By fork, and a mapping of its own
    Newcomer,
    /// By fork and exec
    Stranger,
    /// Maps and unmaps all the time
    Restless,
    /// Forks all the time
    Parent,
}

const KINDS: [Kind; 5] = [Kind::Heir, Kind::Newcomer, Kind::Stranger, Kind::Restless, Kind::Parent];

struct Hands<'a> {
    surface: Surface,
    control: Control,
    control_path: &'a Path,
    folders: &'a [PathBuf],
}

/// The life of a process that starts and kills others, or lives on: `kill NODE FILE KILLS SEED`, `endure NODE FILE`, `touch NODE FILE`.
pub fn serve(surface: Surface, control_path: &Path, folders: &[PathBuf]) -> io::Result<()> {
    let hands = Hands { surface, control: Control::open(control_path)?, control_path, folders };
    team::serve(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().map_err(|error| format!("{word}: {error}"));
        match words.as_slice() {
            ["kill", node, file, kills, seed] => {
                hands.kill(number(node)? as usize, file, number(kills)?, number(seed)?)
            }
            ["endure", node, file] => hands.endure(number(node)? as usize, file),
            ["touch", node, file] => hands.touch(number(node)? as usize, file),
            _ => Err(format!("not an order: {line}")),
        }
    })
}

/// The life of a victim that was started by exec.
pub fn stranger(surface: Surface, control: &Path, folder: &Path, file: &str) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let control = Control::open(control)?;
    let mapped = open(surface, &[folder.to_path_buf()], 0, file).map_err(io::Error::other)?.1;
    add_for_ever(&control, &mapped)
}

fn add_for_ever(control: &Control, mapped: &Mapped) -> ! {
    for turn in 0.. {
        add(control, mapped, turn);
    }
    unreachable!("there is always another number")
}

/// Killed between the two, a process has added one more than it has said.
fn add(control: &Control, mapped: &Mapped, turn: usize) {
    mapped.add((turn % PAGES) * PAGE + VICTIMS_AT, Width::Eight, 1);
    control.add(Word::Added, 1);
}

impl Hands<'_> {
    fn kill(&self, node: usize, file: &str, kills: u64, seed: u64) -> Result<String, String> {
        let mapped = open(self.surface, self.folders, node, file)?.1;
        let mut random = Random::new(seed);
        let mut living = Vec::new();
        let mut killed = 0;
        while killed < kills || !living.is_empty() {
            while living.len() < LIVING && killed + (living.len() as u64) < kills {
                let kind = *random.pick(&KINDS);
                living.push((kind, self.begin(kind, node, file, &mapped)?));
            }
            let life_ns = 1 << random.between(LIFE_LOG2.0, LIFE_LOG2.1 + 1);
            nap(random.between(0, life_ns));
            let (kind, victim) = living.swap_remove(random.between(0, living.len() as u64) as usize);
            let told = |error: io::Error| format!("kill {killed}, of {kind:?}: {error}");
            if !calls::kill(victim, Instant::now() + DEATH).map_err(told)? {
                return Err(format!("kill {killed}: {kind:?} doesn't die of SIGKILL"));
            }
            killed += 1;
            self.control.add(Word::Killed, 1);
        }
        Ok(killed.to_string())
    }

    fn begin(&self, kind: Kind, node: usize, file: &str, mapped: &Mapped) -> Result<Pid, String> {
        let again = || open(self.surface, self.folders, node, file);
        let started = match kind {
            Kind::Heir => calls::fork(|| add_for_ever(&self.control, mapped)),
            Kind::Newcomer => calls::fork(|| match again() {
                Ok((_, mapped)) => add_for_ever(&self.control, &mapped),
                Err(what) => complain(&what),
            }),
            Kind::Stranger => self.exec(node, file),
            Kind::Restless => calls::fork(|| {
                loop {
                    match again() {
                        Ok((_, mapped)) => (0..VISIT).for_each(|turn| add(&self.control, &mapped, turn)),
                        Err(what) => complain(&what),
                    }
                }
            }),
            Kind::Parent => calls::fork(|| {
                loop {
                    let child = calls::fork(|| (0..VISIT).for_each(|turn| add(&self.control, mapped, turn)));
                    if let Err(error) = child.and_then(calls::wait) {
                        complain(&error.to_string());
                    }
                }
            }),
        };
        started.map_err(|error| format!("start {kind:?}: {error}"))
    }

    fn exec(&self, node: usize, file: &str) -> io::Result<Pid> {
        let folder = self.folders.get(node).ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["stranger", "--surface", self.surface.name()])
            .arg(self.control_path)
            .arg(folder)
            .arg(file);
        let child = command.stdin(Stdio::null()).spawn()?;
        Ok(Pid::from_child(&child))
    }

    fn endure(&self, node: usize, file: &str) -> Result<String, String> {
        let mapped = open(self.surface, self.folders, node, file)?.1;
        let mut done = 0;
        while self.control.get(Word::Stop) == 0 {
            let start_ns = now_ns();
            mapped.add((done % PAGES) * PAGE + SURVIVORS_AT, Width::Eight, 1);
            self.control.at_least(Word::LongestNs, now_ns() - start_ns);
            done += 1;
        }
        Ok(done.to_string())
    }

    /// Every page answers; gives how many ns the slowest took.
    fn touch(&self, node: usize, file: &str) -> Result<String, String> {
        let mapped = open(self.surface, self.folders, node, file)?.1;
        let mut slowest_ns = 0;
        for page in 0..PAGES {
            let (at, start_ns) = (page * PAGE + TOUCHED_AT, now_ns());
            mapped.store(at, Width::Eight, start_ns);
            if mapped.load(at, Width::Eight) != start_ns {
                return Err(format!("page {page} doesn't hold what was just stored"));
            }
            slowest_ns = slowest_ns.max(now_ns() - start_ns);
        }
        Ok(slowest_ns.to_string())
    }
}

/// Ends the process with a sentence in the run's errors; whoever kills it would not notice otherwise.
fn complain(what: &str) {
    eprintln!("hammer: a victim: {what}");
    std::process::abort();
}
