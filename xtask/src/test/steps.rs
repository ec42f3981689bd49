//! The steps, cheapest first, so that a simple mistake is told before the long ones run.

use std::process::Command;

use super::tally::{Tally, check, count};
use super::{Step, licences};
use crate::error::Error;
use crate::guest::command as guest;
use crate::paths;

pub(super) const ALL: &[Step] = &[
    Step { name: "format", about: "the code is laid out by rustfmt", run: format },
    Step { name: "lint", about: "clippy has nothing to say", run: lint },
    Step { name: "licences", about: "every dependency's licence is allowed", run: licences::check },
    Step {
        name: "host",
        about: "unit, simulation, conformance and command tests on this machine",
        run: host,
    },
    Step { name: "fuzz", about: "the fuzz targets build", run: fuzz },
    Step { name: "guest", about: "the guest does what its users rely on", run: guest_itself },
    Step { name: "rxe", about: "the soft-RoCE scripts, in the guest", run: rxe },
    Step { name: "verbs", about: "the conformance suite over real verbs, in the guest", run: verbs },
];

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(paths::workspace()).args(arguments);
    command
}

fn format() -> Result<Tally, Error> {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

fn lint() -> Result<Tally, Error> {
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn host() -> Result<Tally, Error> {
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

/// The suite that sim and tcp pass on the host, over real verbs: undisturbed on the loopback device, then between two
/// devices whose wire loses one packet in twenty.
fn verbs() -> Result<Tally, Error> {
    let build = check(&mut cargo(&["build", "--package", "scifs-tests", "--bins"]))?;
    if build.failed > 0 {
        return Ok(build);
    }
    let suite = built("conformance");
    let mut tally = count(&mut guest(&["--", &suite, "rdma"]))?;
    tally += count(&mut guest(&["--wire", "veth", "--", &suite, "rdma", "--loss", "5"]))?;
    Ok(tally)
}
