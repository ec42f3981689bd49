//! A process that uses a file's memory as it is told: that of a node of SciFS, or that of a side of the floor.

use std::fs::OpenOptions;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Subcommand;
use scifs_client::{Access, Segment};

use super::floor;
use super::order::Order;
use crate::part::{end_with_parent, say_ready};
use crate::sweep::{PAGE_BYTES, WORD_BYTES, Words, Wrong};

#[derive(Debug, Subcommand)]
pub(crate) enum End {
    /// Of SciFS.
    Program {
        #[arg(long)]
        pages: usize,
        /// Makes the file, and removes it when the input ends.
        #[arg(long)]
        make: bool,
        file: PathBuf,
    },
    /// The side that has all pages in the beginning.
    FloorFirst {
        #[arg(long)]
        pages: usize,
        #[arg(long)]
        spin_us: u64,
    },
    /// The side that has nothing in the beginning.
    FloorSecond {
        #[arg(long)]
        pages: usize,
        #[arg(long)]
        spin_us: u64,
        address: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    #[error("cannot {what}: {source}")]
    Call { what: &'static str, source: std::io::Error },
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Segment(#[from] scifs_client::Error),
    #[error(
        "{path} is mapped through the kernel, not through userfaultfd, so that the fast path isn't what would be measured: {why:?}"
    )]
    Slow { path: PathBuf, why: scifs_client::Why },
    #[error(transparent)]
    Wrong(#[from] Wrong),
    #[error("cannot read an order or write an answer: {0}")]
    Order(#[from] serde_json::Error),
}

pub(super) fn call<E: Into<std::io::Error>>(what: &'static str) -> impl Fn(E) -> EndError {
    move |error| EndError::Call { what, source: error.into() }
}

pub(super) fn run(end: &End) -> Result<(), EndError> {
    end_with_parent().map_err(call("end with the comparison"))?;
    match end {
        End::Program { pages, make, file } => program(file, *pages, *make),
        End::FloorFirst { pages, spin_us } => {
            let (side, address) = floor::first(*pages, Duration::from_micros(*spin_us))?;
            obey(side.memory(), &[address])
        }
        End::FloorSecond { pages, spin_us, address } => {
            let side = floor::second(*pages, Duration::from_micros(*spin_us), address)?;
            obey(side.memory(), &[])
        }
    }
}

fn program(path: &Path, pages: usize, make: bool) -> Result<(), EndError> {
    let failed = |what| move |source| EndError::File { what, path: path.into(), source };
    if make {
        let how = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = how.map_err(failed("make"))?;
        file.set_len((pages * PAGE_BYTES) as u64).map_err(failed("set the size of"))?;
    }
    let segment = Segment::map(path, Access::ReadWrite)?;
    if let Some(why) = segment.by_kernel() {
        return Err(EndError::Slow { path: path.into(), why });
    }
    obey(&Program(segment), &[])?;
    if make { std::fs::remove_file(path).map_err(failed("remove")) } else { Ok(()) }
}

struct Program(Segment);

impl Words for Program {
    fn word(&self, page: usize, index: usize) -> &AtomicU64 {
        match self.0.long_word(page * PAGE_BYTES + index * WORD_BYTES) {
            Ok(word) => word,
            Err(error) => panic!("page {page}: {error}"),
        }
    }
}

/// Until the input ends.
fn obey(words: &(impl Words + Sync), said: &[String]) -> Result<(), EndError> {
    say_ready(said);
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line.map_err(call("read an order"))?)?;
        println!("{}", serde_json::to_string(&order.perform(words)?)?);
    }
    Ok(())
}
