//! What a user may set: `-o` options as mount(8) passes them, and the configuration file with the same names.
//!
//! - Command line before configuration file before default. Within one of them the last one wins, as with mount(8),
//!   where an fstab line and `-o` are simply put together.
//! - `join=` may repeat. Members given on the command line replace those of the file as a whole.
//! - A comma or a backslash inside of a value is written `\,` and `\\`, or the value stands in double quotes.
//! - In the file, a relative path means relative to the file's folder.
//!
//! Everything but [`Options::load`] is pure: files and the machine are read there.

mod address;
mod config;
mod error;
mod list;
mod mount;
mod size;
mod table;

use std::path::{Path, PathBuf};

use scios::memory::MachineMemory;
use scios::node::FabricKind;

pub use address::{AddressError, DEFAULT_PORT, HostPort};
pub use error::OptionsError;
pub use mount::{Access, MountOptions};
pub use size::{Amount, Size, SizeError};

use crate::names::Consistency;

use list::Entry;
use scios::limits::JOIN_ADDRESSES_MAX;

/// One node's settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The node's name; without one it is named after its machine and process.
    pub name: Option<String>,
    /// Where peers reach the node. Without it: `127.0.0.1:7000`, or another port there if that one is taken.
    pub listen: Option<HostPort>,
    /// Members to join, in the order given. None: a cluster of one.
    pub join: Vec<HostPort>,
    pub fabric: FabricKind,
    /// The frame budget, checked against the machine.
    pub memory_bytes: u64,
    pub secret: Option<PathBuf>,
    /// What new files get.
    pub consistency: Consistency,
    pub spin_us: u64,
    pub failure_timeout_ms: u64,
    pub voters: usize,
    /// Where Prometheus finds the metrics; without it nowhere.
    pub metrics: Option<HostPort>,
    pub mount: MountOptions,
}

/// What tmpfs takes too: it can be filled, and the machine still works.
const MEMORY_DEFAULT: &str = "50%";

impl Options {
    /// Settings from the values of every `-o` and from the source of the mount, reading the configuration file that
    /// `config=` names.
    pub fn load(lists: &[impl AsRef<str>], source: Option<&str>) -> Result<Self, OptionsError> {
        let entries = list::split_all(lists)?;
        let file = match config::named_in(&entries) {
            Some(path) => config::read(&path)?,
            None => Vec::new(),
        };
        let current_dir = std::env::current_dir().map_err(OptionsError::CurrentDir)?;
        let machine = MachineMemory::read()?;
        Self::from_entries(file, entries, source, &current_dir, machine)
    }

    fn from_entries(
        file: Vec<Entry>,
        command_line: Vec<Entry>,
        source: Option<&str>,
        current_dir: &Path,
        machine: MachineMemory,
    ) -> Result<Self, OptionsError> {
        let mut draft = Draft::new(current_dir)?;
        if let Some(path) = config::named_in(&command_line) {
            let path = current_dir.join(path);
            let mut in_file = Draft { base: path.parent().unwrap_or(current_dir).into(), ..draft };
            for entry in file {
                in_file.apply(&entry).map_err(|source| OptionsError::InFile {
                    path: path.clone(),
                    source: Box::new(source),
                })?;
            }
            draft = Draft { base: current_dir.into(), ..in_file };
        }
        let from_file = std::mem::take(&mut draft.options.join);
        if let Some(member) = source.map(source_member).transpose()?.flatten() {
            draft.options.join.push(member);
        }
        for entry in command_line {
            draft.apply(&entry)?;
        }
        if draft.options.join.is_empty() {
            draft.options.join = from_file;
        }
        draft.finish(machine)
    }
}

/// The member that the source of a mount names: `scifs`, `none` and nothing at all name none.
pub fn source_member(source: &str) -> Result<Option<HostPort>, OptionsError> {
    // mount(8) makes an absolute path of fstab's `scifs` where the current folder happens to have something of that name.
    let name = if source.starts_with('/') { source.rsplit('/').next().unwrap_or(source) } else { source };
    if source.is_empty() || matches!(name, "none" | "scifs") {
        return Ok(None);
    }
    HostPort::parse_join(source).map(Some).map_err(OptionsError::Source)
}

/// Settings while they are collected.
struct Draft {
    options: Options,
    memory: Size,
    /// What relative paths are relative to.
    base: PathBuf,
}

impl Draft {
    fn new(base: &Path) -> Result<Self, OptionsError> {
        let options = Options {
            name: None,
            listen: None,
            join: Vec::new(),
            fabric: FabricKind::Tcp,
            memory_bytes: 0,
            secret: None,
            consistency: Consistency::Strict,
            spin_us: 50,
            failure_timeout_ms: 2_000,
            voters: 3,
            metrics: None,
            mount: MountOptions::default(),
        };
        Ok(Self { options, memory: Size::parse(MEMORY_DEFAULT)?, base: base.into() })
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), OptionsError> {
        table::apply(self, entry)?;
        if self.options.join.len() > JOIN_ADDRESSES_MAX {
            return Err(OptionsError::Joins { max: JOIN_ADDRESSES_MAX });
        }
        Ok(())
    }

    fn finish(mut self, machine: MachineMemory) -> Result<Options, OptionsError> {
        self.options.memory_bytes = self.memory.resolve(machine)?;
        Ok(self.options)
    }
}

#[cfg(test)]
mod tests;
