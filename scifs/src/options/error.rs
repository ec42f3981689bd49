//! What can be wrong with the options. Every sentence names the option as it was given and says what to write instead.

use std::path::PathBuf;

use scios::limits::{CONFIG_BYTES_MAX, NODE_NAME_BYTES_MAX};
use scios::memory::MemoryError;
use thiserror::Error;

use super::{AddressError, SizeError};
use crate::exit::Exit;

#[derive(Debug, Error)]
pub enum OptionsError {
    #[error("unknown option {name:?}; did you mean {closest}?")]
    UnknownNear { name: String, closest: &'static str },
    #[error("unknown option {name:?}; scifs --help lists what there is")]
    Unknown { name: String },
    #[error("option {name} needs a value, as in {example}")]
    NoValue { name: &'static str, example: &'static str },
    #[error("option {name} takes no value, but was given as {name}={value}; write only {name}")]
    ValueNotTaken { name: &'static str, value: String },
    #[error("{name}={value} is not one of {choices}{}", near(closest))]
    Choice { name: &'static str, value: String, choices: String, closest: Option<&'static str> },
    #[error("{name}={value} is not a whole number from {min} to {max}; write for example {example}")]
    Number { name: &'static str, value: String, min: u64, max: u64, example: &'static str },
    #[error(
        "name={value:?} cannot name a node: write 1 to {NODE_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', \
         beginning with a letter or digit, as in name=n1"
    )]
    NodeName { value: String },
    #[error("{name}={value} is no address: {source}")]
    Address { name: &'static str, value: String, source: AddressError },
    #[error(
        "the source of the mount is neither a member to join nor \"scifs\": {0}; \
         write for example: mount -t fuse scifs /mnt -o join=n1:7000"
    )]
    Source(AddressError),
    #[error("more than {max} join= were given; a few members are enough, any of them knows the others")]
    Joins { max: usize },
    #[error("memory={0}")]
    Memory(#[from] SizeError),
    #[error(transparent)]
    Machine(#[from] MemoryError),
    #[error("a quote is not closed in -o {list:?}")]
    Quote { list: String },
    #[error("option {name} is not possible: {instead}")]
    Refused { name: &'static str, instead: &'static str },
    #[error("cannot read config={path}: {source}; check the path and its permissions")]
    ConfigRead { path: PathBuf, source: std::io::Error },
    #[error("config={path} is longer than {CONFIG_BYTES_MAX} bytes; is it really a configuration file?")]
    ConfigLength { path: PathBuf },
    #[error("config={path} is not TOML: line {line}: {message}")]
    ConfigSyntax { path: PathBuf, line: usize, message: String },
    #[error(
        "{name} has a value of the type {found}; write {name} = \"TEXT\", a number, true, or for join a list of texts"
    )]
    ConfigType { name: String, found: &'static str },
    #[error("config cannot be set in a configuration file; put everything into one file")]
    ConfigNested,
    #[error("in {path}: {source}")]
    InFile { path: PathBuf, source: Box<Self> },
    #[error("cannot tell the current folder: {0}; change to one that exists")]
    CurrentDir(std::io::Error),
}

impl OptionsError {
    /// What the command ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Machine(_) | Self::CurrentDir(_) => Exit::System,
            _ => Exit::Usage,
        }
    }
}

fn near(closest: &Option<&'static str>) -> String {
    closest.map(|closest| format!("; did you mean {closest}?")).unwrap_or_default()
}
