//! The fast path: the same tests as through the mount, by processes that `scifs exec` started, alone and mixed with others.

use std::fs;
use std::path::{Path, PathBuf};

use super::mounts::{Mounts, bounded, build_programs};
use super::posix::config;
use super::tally::Tally;
use crate::error::{Doing, Error};
use crate::paths;
use crate::setup::{self, Capability};
use crate::tools::FSX;

/// Ways in which a file's memory is reached, and where the processes are. Threads of a litmus test change places, so a mix is
/// both orders. The mount alone on different nodes is the step `litmus`.
const MIXES: [(&str, &str); 5] =
    [("vm", "different"), ("file,vm", "different"), ("vm", "same"), ("file,vm", "same"), ("file", "same")];
const FSX_SEEDS: u64 = 3;
const FSX_STEPS: &str = "3000";

/// How much of it; less where somebody waits.
struct Extent {
    iterations: &'static str,
    iterations_same: &'static str,
    hammer_ms: &'static str,
    kills: &'static str,
    seeds: &'static str,
}

const SHORT: Extent =
    Extent { iterations: "80", iterations_same: "320", hammer_ms: "700", kills: "1000", seeds: "3" };
const FULL: Extent =
    Extent { iterations: "1000", iterations_same: "1000", hammer_ms: "2000", kills: "10000", seeds: "20" };

pub(super) fn vm(full: bool) -> Result<Tally, Error> {
    setup::ensure(&[Capability::FileTests])?;
    build_programs()?;
    let extent = if full { FULL } else { SHORT };
    let mounts = Mounts::up(2, "memory=256M")?;
    let mut tally = mixes(&mounts, &extent)?;
    tally += kills(&mounts, &extent)?;
    tally += files(&mounts, &extent)?;
    drop(mounts);
    // A million pages need that much, and nobody else beside them.
    let mounts = Mounts::up(1, "memory=5G")?;
    for by in [["--surfaces", "vm"].as_slice(), &["--library"]] {
        println!("--- a million pages {}", by.join(" "));
        tally += run(&mounts, "scattered", by)?;
    }
    Ok(tally)
}

/// Longer than any of these takes on a busy machine.
const SECONDS: u64 = 1800;

fn scifs() -> PathBuf {
    paths::target().join("release/scifs")
}

fn run(mounts: &Mounts, program: &str, arguments: &[&str]) -> Result<Tally, Error> {
    let scifs = scifs().display().to_string();
    mounts.run(program, SECONDS, &[&["--scifs", &scifs], arguments].concat())
}

fn mixes(mounts: &Mounts, extent: &Extent) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for (surfaces, place) in MIXES {
        println!("--- {surfaces}, {place} nodes");
        let mix = ["--surfaces", surfaces, "--place", place];
        // On one node they are quick, and so close together that few would say too little.
        let iterations = if place == "same" { extent.iterations_same } else { extent.iterations };
        tally += run(mounts, "litmus", &[&mix[..], &["--iterations", iterations]].concat())?;
        let hammer = ["--milliseconds", extent.hammer_ms, "--skip", "storm"];
        tally += run(mounts, "hammer", &[&mix[..], &hammer].concat())?;
    }
    Ok(tally)
}

fn kills(mounts: &Mounts, extent: &Extent) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for surfaces in ["vm", "file,vm"] {
        println!("--- {} kills, {surfaces}", extent.kills);
        tally +=
            run(mounts, "hammer", &["--surfaces", surfaces, "--only", "storm", "--kills", extent.kills])?;
    }
    Ok(tally)
}

fn files(mounts: &Mounts, extent: &Extent) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for more in [
        ["--surfaces", "vm"].as_slice(),
        &["--surfaces", "file,vm"],
        &["--surfaces", "vm", "--processes=false"],
    ] {
        println!("--- random steps {}", more.join(" "));
        tally += run(mounts, "fsxr", &[&["--ops", "1000", "--seeds", extent.seeds], more].concat())?;
    }
    tally += fsx(mounts.dir(1))?;
    Ok(tally)
}

/// Somebody else's program under `scifs exec`, which says of each mapping whose it is: all must be the fast path's.
fn fsx(dir: &Path) -> Result<Tally, Error> {
    let program = FSX.ensure()?;
    let artifacts = paths::target().join("fsx");
    fs::create_dir_all(&artifacts).doing(|| format!("create {}", artifacts.display()))?;
    let mut tally = Tally::default();
    for seed in 1..=FSX_SEEDS {
        let mut command = bounded(120, &scifs());
        command.args(["exec", "--verbose", "--"]).arg(&program).arg("-qq");
        command.arg("-f").arg(config("fsx.toml")).args(["-N", FSX_STEPS, "-S", &seed.to_string()]);
        command.arg("-P").arg(&artifacts).arg(dir.join(format!("exec-fsx-{seed}")));
        let output =
            command.output().map_err(|source| Error::Spawn { program: "scifs exec".into(), source })?;
        let said = String::from_utf8_lossy(&output.stderr);
        let fast = said.contains("by userfaultfd") && !said.contains("by the kernel");
        if output.status.success() && fast {
            tally += Tally::success();
        } else {
            println!(
                "fsx seed {seed} FAILED: {command:?}\n{}{said}",
                String::from_utf8_lossy(&output.stdout)
            );
            tally += Tally::failure();
        }
    }
    println!("fsx: {tally}");
    Ok(tally)
}
