//! The command `scifs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    scifs::cli::run().into()
}
