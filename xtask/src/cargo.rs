//! Cargo, for the source tree that this binary was built from.

use std::process::Command;

use crate::error::{Error, output_of};
use crate::paths;

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(paths::workspace()).args(arguments);
    command
}

/// Builds optimised programs into `paths::target()`.
pub(crate) fn build_release(packages: &[&str]) -> Result<(), Error> {
    let mut build = cargo(&["build", "--release", "--quiet"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    output_of(&mut build).map(drop)
}
