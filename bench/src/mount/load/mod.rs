//! The program that uses the mounts: a process of its own that knows nothing but two paths to one file. It opens both, so one
//! thread can use them in turn: nothing else than the mounts is in the time that an operation takes.

mod pages;
mod requests;
mod sequential;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::workload::Workload;
use crate::part::end_with_parent;
use crate::sweep::{Measured, PAGE_BYTES, Wrong, expected};

#[derive(Debug, Args)]
pub(crate) struct Options {
    workload: Workload,
    /// The file on the first mount; made if it isn't there.
    first: PathBuf,
    /// The same file on the second mount.
    second: PathBuf,
    #[arg(long)]
    effort: u32,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{what}: {source}")]
    Call { what: &'static str, source: std::io::Error },
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

fn call<E: Into<std::io::Error>>(what: &'static str) -> impl Fn(E) -> LoadError {
    move |error| LoadError::Call { what, source: error.into() }
}

/// Prints what was measured.
pub(super) fn main(options: &Options) -> ExitCode {
    match measure(options).map(|measured| serde_json::to_string(&measured)) {
        Ok(Ok(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("scifs-bench: {error}");
    ExitCode::FAILURE
}

fn measure(options: &Options) -> Result<Measured, LoadError> {
    end_with_parent().map_err(call("end with the comparison"))?;
    let ends = Ends::new(options)?;
    let measured = match options.workload {
        Workload::ColdFault => pages::cold_faults(&ends),
        Workload::DirtyMigration | Workload::PingPong => pages::dirty_migrations(&ends),
        Workload::CleanMigration => pages::clean_migrations(&ends),
        Workload::WriteUpgrade => pages::write_upgrades(&ends),
        Workload::LockAgain => requests::lock_again(&ends),
        Workload::LockHandOver => requests::lock_hand_over(&ends),
        Workload::ReadSequential => sequential::by_read(&ends),
        Workload::MapSequential => sequential::by_map(&ends),
        Workload::ReadSmall | Workload::ReadPage => requests::reads(&ends, options.workload),
        Workload::WriteSmall | Workload::WritePage => requests::writes(&ends, options.workload),
    }?;
    let path = &options.first;
    std::fs::remove_file(path).map_err(|source| LoadError::File {
        what: "remove",
        path: path.clone(),
        source,
    })?;
    Ok(measured)
}

/// One file as two mounts show it.
struct Ends<'a> {
    options: &'a Options,
    pages: usize,
    repeats: usize,
}

impl<'a> Ends<'a> {
    /// Every page is written on the first mount: its number and 1 in its first word.
    fn new(options: &'a Options) -> Result<Self, LoadError> {
        let Options { workload, effort, .. } = *options;
        let ends = Self { options, pages: workload.pages(effort), repeats: workload.repeats(effort) };
        let file = ends.first(OpenOptions::new().read(true).write(true).create(true))?;
        let mut chunk = vec![0; CHUNK_PAGES * PAGE_BYTES];
        for first in (0..ends.pages).step_by(CHUNK_PAGES) {
            let last = (first + CHUNK_PAGES).min(ends.pages);
            for (page, bytes) in (first..last).zip(chunk.chunks_exact_mut(PAGE_BYTES)) {
                bytes.fill(page as u8);
                bytes[..size_of::<u64>()].copy_from_slice(&expected(page, 0).to_ne_bytes());
            }
            let bytes = &chunk[..(last - first) * PAGE_BYTES];
            file.write_all_at(bytes, (first * PAGE_BYTES) as u64).map_err(call("write the file"))?;
        }
        Ok(ends)
    }

    fn first(&self, how: &OpenOptions) -> Result<File, LoadError> {
        open(&self.options.first, how)
    }

    fn second(&self, how: &OpenOptions) -> Result<File, LoadError> {
        open(&self.options.second, how)
    }
}

/// Of one write(2) or read(2) where all of a file goes through them.
const CHUNK_PAGES: usize = (1 << 20) / PAGE_BYTES;

fn open(path: &std::path::Path, how: &OpenOptions) -> Result<File, LoadError> {
    how.open(path).map_err(|source| LoadError::File { what: "open", path: path.into(), source })
}

fn for_reading() -> OpenOptions {
    let mut how = OpenOptions::new();
    how.read(true);
    how
}

fn for_writing() -> OpenOptions {
    let mut how = OpenOptions::new();
    how.read(true).write(true);
    how
}
