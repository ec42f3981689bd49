//! A program that touches one file, an order at a time: what a user's program would do, in a process that may die of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::shared::clock::now_ns;
use crate::shared::mapped::{Access, Mapped, Width};
use crate::shared::surface::Surface;
use crate::shared::team::{self, Silence, Worker};

pub const PAGE: u64 = 4096;
pub const PAGES: u64 = 64;

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Value(u64),
    /// The error of a system call
    Errno(i32),
    /// The program was killed by this signal
    Signal(i32),
    /// No answer within the time: what must never be
    Nothing,
}

impl Answer {
    /// It went on, or it was told in one of the ways that a program expects of broken storage.
    pub fn is_bounded_and_sane(&self) -> bool {
        let errors = [libc_errno::EIO, libc_errno::ENOTCONN, libc_errno::ECONNABORTED];
        match self {
            Answer::Value(_) => true,
            Answer::Errno(errno) => errors.contains(errno),
            Answer::Signal(signal) => *signal == rustix::process::Signal::BUS.as_raw(),
            Answer::Nothing => false,
        }
    }
}

mod libc_errno {
    use rustix::io::Errno;
    pub(super) const EIO: i32 = Errno::IO.raw_os_error();
    pub(super) const ENOTCONN: i32 = Errno::NOTCONN.raw_os_error();
    pub(super) const ECONNABORTED: i32 = Errno::CONNABORTED.raw_os_error();
}

#[derive(Debug)]
pub struct Toucher(Worker);

impl Toucher {
    /// `scifs` starts those that aren't to use the mount's mapping.
    pub fn start(surface: Surface, scifs: &Path, program: &Path, file: &Path) -> io::Result<Self> {
        let own = [surface.name().to_owned(), file.display().to_string()];
        if surface == Surface::File {
            return Worker::of(program, &own).map(Self);
        }
        let exec = ["exec".to_owned(), "--".into(), program.display().to_string()];
        Worker::of(scifs, &[&exec[..], &own].concat()).map(Self)
    }

    /// Gives an order without waiting for the answer.
    pub fn begin(&mut self, order: &str) {
        self.0.order(order);
    }

    pub fn answer(&mut self, within: Duration) -> Answer {
        match self.0.answer(Instant::now() + within) {
            Ok(line) => match line.split_once(' ') {
                Some(("ok", value)) => value.parse().map_or(Answer::Nothing, Answer::Value),
                Some(("errno", number)) => number.parse().map_or(Answer::Nothing, Answer::Errno),
                _ => panic!("a program answered {line:?}"),
            },
            Err(Silence::Hangs) => Answer::Nothing,
            Err(Silence::Ended(status)) => Answer::Signal(signal_in(&status)),
        }
    }

    /// `map`, `load PAGE`, `store PAGE VALUE`, `pread PAGE`, `pwrite PAGE VALUE`, `increment PAGE MILLISECONDS`, `lock`, `unlock`,
    /// `make NAME`, `list`
    pub fn ask(&mut self, order: &str, within: Duration) -> Answer {
        self.begin(order);
        self.answer(within)
    }

    /// `kill -9`; whether it was gone in time.
    pub fn kill(&mut self, within: Duration) -> bool {
        self.0.killed_by(Instant::now() + within)
    }
}

/// Of `signal: 7 (SIGBUS) (core dumped)`.
fn signal_in(status: &str) -> i32 {
    let number = status.strip_prefix("signal: ").and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The program's side.
pub fn serve(surface: Surface, path: &Path) -> io::Result<()> {
    let mut hands = Hands { surface, open: None };
    team::serve(|line| {
        let words: Vec<_> = line.split(' ').collect();
        Ok(match hands.obey(path, &words) {
            Ok(value) => format!("ok {value}"),
            Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)),
        })
    })
}

struct Hands {
    surface: Surface,
    open: Option<(File, Mapped)>,
}

impl Hands {
    fn obey(&mut self, path: &Path, words: &[&str]) -> io::Result<u64> {
        match words {
            ["map"] => self.map(path),
            ["make", name] => File::create_new(path.with_file_name(name)).map(|_| 0),
            ["list"] => Ok(std::fs::read_dir(path.parent().unwrap_or(path))?.count() as u64),
            _ => {
                let (file, mapped) = self.open.as_ref().ok_or(io::ErrorKind::NotFound)?;
                touch(file, mapped, words)
            }
        }
    }

    fn map(&mut self, path: &Path) -> io::Result<u64> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() < PAGES * PAGE {
            file.set_len(PAGES * PAGE)?;
        }
        let mapped = self.surface.map(&file, (PAGES * PAGE) as usize, Access::ReadWrite)?;
        self.open = Some((file, mapped));
        Ok(0)
    }
}

fn touch(file: &File, mapped: &Mapped, words: &[&str]) -> io::Result<u64> {
    let number = |word: &str| word.parse::<u64>().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let at = |word: &str| number(word).map(|page| (page * PAGE) as usize);
    match words {
        ["load", page] => Ok(mapped.load(at(page)?, Width::Eight)),
        ["store", page, value] => {
            mapped.store(at(page)?, Width::Eight, number(value)?);
            Ok(0)
        }
        ["pread", page] => {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at(page)? as u64)?;
            Ok(u64::from_le_bytes(bytes))
        }
        ["pwrite", page, value] => {
            file.write_all_at(&number(value)?.to_le_bytes(), at(page)? as u64)?;
            Ok(0)
        }
        ["increment", page, milliseconds] => {
            let (at, end_ns) = (at(page)?, now_ns() + number(milliseconds)? * 1_000_000);
            let mut done = 0;
            while now_ns() < end_ns {
                mapped.add(at, Width::Eight, 1);
                done += 1;
            }
            Ok(done)
        }
        ["lock"] => Ok(flock(file, FlockOperation::LockExclusive).map(|()| 0)?),
        ["unlock"] => Ok(flock(file, FlockOperation::Unlock).map(|()| 0)?),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
