//! Test programs from crates.io that are run, not linked: built once into `target/tools`.

use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, output_of};
use crate::paths;

/// A crate, and the version whose tests were looked at.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
}

/// The POSIX file system test suite (the Rust rewrite).
pub(crate) const PJDFSTEST: Tool = Tool { name: "pjdfstest", version: "0.2.2" };
/// The file system exerciser.
pub(crate) const FSX: Tool = Tool { name: "fsx", version: "0.3.2" };

impl Tool {
    /// Where the program is; builds it if it isn't there.
    pub(crate) fn ensure(&self) -> Result<PathBuf, Error> {
        let root = paths::target().join("tools").join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if !program.exists() {
            eprintln!("setup: building {} {} ...", self.name, self.version);
            let mut command = Command::new(env!("CARGO"));
            command.args(["install", "--quiet", "--locked", "--version", self.version, "--root"]);
            output_of(command.arg(&root).arg(self.name))?;
        }
        Ok(program)
    }
}
