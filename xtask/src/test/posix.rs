//! Other people's tests of file systems, and one of our own, on a mount: pjdfstest, fsx, fsxr, fio.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::mounts::{Mounts, bounded, build_programs};
use super::tally::{Tally, check};
use crate::error::{Doing, Error};
use crate::paths;
use crate::setup::{self, Capability};
use crate::tools::{FSX, PJDFSTEST};

/// Tests of pjdfstest that fail here for a reason that `docs/posix.md` gives; one that passes has to go from this list.
const EXPECTED: &[&str] = &[];

const FSX_SEEDS: u64 = 12;
const FSX_STEPS: &str = "3000";

pub(super) fn posix() -> Result<Tally, Error> {
    setup::ensure(&[Capability::FileTests])?;
    build_programs()?;
    let mounts = Mounts::up(3, "memory=512M,allow_other")?;
    let mut tally = pjdfstest(mounts.dir(0))?;
    tally += fsx(mounts.dir(1))?;
    tally += mounts.run("fsxr", 300, &["--seeds", "10", "--ops", "1000"])?;
    tally += mounts.run("fsxr", 300, &["--seeds", "5", "--ops", "1000", "--seed", "1000", "--no-mmap"])?;
    let alone = ["--seeds", "5", "--ops", "1000", "--seed", "2000", "--processes=false"];
    tally += mounts.run("fsxr", 300, &alone)?;
    tally += fio(&mounts)?;
    Ok(tally)
}

pub(super) fn config(name: &str) -> std::path::PathBuf {
    paths::workspace().join("tests/config").join(name)
}

/// Prints what fails, and what was expected to and doesn't.
fn pjdfstest(dir: &Path) -> Result<Tally, Error> {
    let program = PJDFSTEST.ensure()?;
    // Users without rights must be able to get there.
    let folder = dir.join("pjdfstest");
    fs::create_dir(&folder).doing(|| format!("create {}", folder.display()))?;
    let mut command = bounded(600, &program);
    command.arg("-c").arg(config("pjdfstest.toml")).arg("-p").arg(&folder);
    // A file system that isn't the one under test.
    command.arg("-s").arg(std::env::temp_dir());
    let output = command.output().map_err(|source| Error::Spawn { program: "pjdfstest".into(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = Pjdfstest::read(&text);
    println!("{}", outcome.summary);
    for name in &outcome.unexpected {
        println!("pjdfstest {name} FAILED\n{}", what_it_said(&text, name));
    }
    for name in &outcome.better {
        println!("pjdfstest {name} passes now: take it from the list in xtask/src/test/posix.rs");
    }
    let failed = (outcome.unexpected.len() + outcome.better.len()) as u64 + u64::from(outcome.passed == 0);
    Ok(Tally { passed: outcome.passed, failed })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Pjdfstest {
    passed: u64,
    unexpected: Vec<String>,
    better: Vec<&'static str>,
    summary: String,
}

impl Pjdfstest {
    /// Lines are `chown::lchown::eloop   ok`, FAILED or skipped, indented ones what the test above said.
    fn read(text: &str) -> Self {
        let mut outcome = Self::default();
        let mut failed = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with(char::is_whitespace)) {
            if line.starts_with("Summary:") {
                outcome.summary = format!("pjdfstest: {line}");
            }
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [_, "ok"] => outcome.passed += 1,
                [name, verdict] if verdict.eq_ignore_ascii_case("failed") => failed.push((*name).to_owned()),
                _ => (),
            }
        }
        outcome.better = EXPECTED.iter().copied().filter(|name| !failed.iter().any(|f| f == name)).collect();
        outcome.unexpected = failed.into_iter().filter(|name| !EXPECTED.contains(&name.as_str())).collect();
        outcome
    }
}

fn what_it_said(text: &str, name: &str) -> String {
    let after = text.lines().skip_while(|line| line.split_whitespace().next() != Some(name)).skip(1);
    after.take_while(|line| line.starts_with(char::is_whitespace)).collect::<Vec<_>>().join("\n")
}

fn fsx(dir: &Path) -> Result<Tally, Error> {
    let program = FSX.ensure()?;
    let artifacts = paths::target().join("fsx");
    fs::create_dir_all(&artifacts).doing(|| format!("create {}", artifacts.display()))?;
    let mut tally = Tally::default();
    for seed in 1..=FSX_SEEDS {
        let mut command = bounded(120, &program);
        command.arg("-qq").arg("-f").arg(config("fsx.toml")).args(["-N", FSX_STEPS, "-S", &seed.to_string()]);
        command.arg("-P").arg(&artifacts).arg(dir.join(format!("fsx-{seed}")));
        tally += told(&format!("fsx seed {seed}"), &mut command)?;
    }
    println!("fsx: {tally}");
    Ok(tally)
}

/// Mixed on one node, then written at one and verified at another, by the same surface and by the other.
fn fio(mounts: &Mounts) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for engine in ["psync", "mmap"] {
        let mixed = ["--rw=randrw", "--bs=512-16k", "--do_verify=1"];
        tally += told(&format!("fio {engine}"), &mut fio_job(mounts.dir(0), "mixed", engine, &mixed))?;
        tally += told(&format!("fio {engine} again"), &mut fio_job(mounts.dir(1), "mixed", engine, &mixed))?;
    }
    for (writer, reader) in [("psync", "psync"), ("mmap", "mmap"), ("psync", "mmap"), ("mmap", "psync")] {
        let file = format!("{writer}-{reader}");
        let write = ["--rw=randwrite", "--bs=4k", "--do_verify=0"];
        let verify = ["--rw=randwrite", "--bs=4k", "--verify_only"];
        tally +=
            told(&format!("fio writes by {writer}"), &mut fio_job(mounts.dir(0), &file, writer, &write))?;
        let there = format!("fio verifies by {reader} on another node");
        tally += told(&there, &mut fio_job(mounts.dir(1), &file, reader, &verify))?;
    }
    println!("fio: {tally}");
    Ok(tally)
}

fn fio_job(dir: &Path, file: &str, engine: &str, more: &[&str]) -> Command {
    let mut command = bounded(180, Path::new("fio"));
    command.args([
        "--name=job",
        "--size=16m",
        "--verify=crc32c",
        "--verify_fatal=1",
        // It would leave a file in the current folder.
        "--verify_state_save=0",
        "--randseed=7",
        "--minimal",
    ]);
    command.arg(format!("--ioengine={engine}")).arg(format!("--filename={}", dir.join(file).display()));
    command.args(more).stdout(std::process::Stdio::null());
    command
}

fn told(what: &str, command: &mut Command) -> Result<Tally, Error> {
    let tally = check(command)?;
    if tally.failed > 0 {
        println!("{what} FAILED: {command:?}");
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_pjdfstest_are_read() {
        let text = "chown::a                ok\nchown::b            FAILED\n\tassertion failed\n\
                    open::c             skipped\n\tnot allowed\nSummary: 1 failed, 1 skipped, 1 passed";
        let outcome = Pjdfstest::read(text);
        assert_eq!((outcome.passed, outcome.unexpected), (1, vec!["chown::b".to_owned()]));
        assert_eq!(what_it_said(text, "chown::b"), "\tassertion failed");
    }
}
