//! The steps, cheapest first, so that a simple mistake is told before the long ones run.

use super::tally::{Tally, check, count};
use super::{Step, licences, mounts, posix, vm};
use crate::cargo::cargo;
use crate::error::{Error, output_of};
use crate::guest::command as guest;
use crate::paths;
use crate::setup::{self, Capability};

pub(super) const ALL: &[Step] = &[
    Step { name: "format", about: "the code is laid out by rustfmt", run: |_| format() },
    Step { name: "lint", about: "clippy has nothing to say", run: |_| lint() },
    Step { name: "licences", about: "every dependency's licence is allowed", run: |_| licences::check() },
    Step {
        name: "host",
        about: "unit, simulation, conformance and command tests on this machine",
        run: |_| host(),
    },
    Step {
        name: "hostile",
        about: "mounts whose nodes and programs are stopped and killed",
        run: |_| mounts::hostile(),
    },
    Step { name: "posix", about: "pjdfstest, fsx and fio on mounts", run: |_| posix::posix() },
    Step {
        name: "litmus",
        about: "litmus tests and hammers on two and four nodes",
        run: |_| mounts::litmus(),
    },
    Step { name: "vm", about: "litmus tests, hammers, fsx and kills on the fast path", run: vm::vm },
    Step { name: "fuzz", about: "the fuzz targets build", run: |_| fuzz() },
    Step { name: "guest", about: "the guest does what its users rely on", run: |_| guest_itself() },
    Step { name: "rxe", about: "the soft-RoCE scripts, in the guest", run: |_| rxe() },
    Step { name: "verbs", about: "the conformance suite over real verbs, in the guest", run: |_| verbs() },
];

fn format() -> Result<Tally, Error> {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lint() -> Result<Tally, Error> {
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn host() -> Result<Tally, Error> {
    setup::ensure(&[Capability::Fuse, Capability::Languages])?;
    count(&mut cargo(&["test", "--workspace", "--no-fail-fast"]))
}

/// libFuzzer's instrumentation is a compiler feature that the stable compiler only accepts when told to.
fn fuzz() -> Result<Tally, Error> {
    check(
        cargo(&["check", "--quiet", "--manifest-path", "scios/fuzz/Cargo.toml", "--bins"])
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}

fn built(binary: &str) -> String {
    paths::target().join("debug").join(binary).display().to_string()
}

/// Boots a dozen machines; those tests are ignored unless asked for.
fn guest_itself() -> Result<Tally, Error> {
    count(&mut cargo(&["test", "--package", "xtask", "--test", "guest", "--", "--ignored"]))
}

/// The scripts that give a stock host its device, on a kernel that has the driver.
fn rxe() -> Result<Tally, Error> {
    count(&mut guest(&["--wire", "none", "--", "rxe-setup/test.sh"]))
}

/// Longer than the suites take in an emulated machine while the host is busy.
const GUEST_SECONDS: &str = "1500";

/// The suite that sim and tcp pass on the host, over real verbs: undisturbed on the loopback device, then between two
/// devices whose wire loses one packet in twenty. Before that, the bindings themselves: their tests are ignored where
/// nobody asks for them, since they need a device.
fn verbs() -> Result<Tally, Error> {
    let build = check(&mut cargo(&["build", "--quiet", "--package", "scifs-tests", "--bins"]))?;
    if build.failed > 0 {
        return Ok(build);
    }
    let (suite, bindings) = (built("conformance"), test_program("scios")?);
    let mut tally = count(&mut guest(&[
        "--timeout",
        GUEST_SECONDS,
        "--",
        &bindings,
        "verbs::rdma",
        "--include-ignored",
        "--test-threads=1",
    ]))?;
    tally += count(&mut guest(&["--timeout", GUEST_SECONDS, "--", &suite, "rdma"]))?;
    tally += count(&mut guest(&[
        "--timeout",
        GUEST_SECONDS,
        "--wire",
        "veth",
        "--",
        &suite,
        "rdma",
        "--loss",
        "5",
    ]))?;
    Ok(tally)
}

/// The path of the program that cargo builds from a library's unit tests.
fn test_program(package: &str) -> Result<String, Error> {
    let build = ["test", "--quiet", "--package", package, "--lib", "--no-run", "--message-format=json"];
    let output = output_of(&mut cargo(&build))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == package && message["profile"]["test"] == true)
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .ok_or_else(|| Error::Usage(format!("cargo names no test program of {package}")))
}
