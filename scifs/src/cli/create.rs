//! `scifs create`: a file with its size, consistency and address, that appears complete or not at all.
//!
//! It is made under a name of its own in the same folder and gets its real one last, without replacing anything. All of
//! that goes through the mounted file system, so no node has to be asked.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, XattrFlags};
use rustix::io::Errno;
use serde_json::json;

use super::{CliError, print, stat};
use crate::control::mounts;
use crate::exit::Exit;
use crate::options::{Amount, Size};

/// Create a file with a size, and with a consistency and an address if they are given
///
/// A size costs no memory until pages are touched: 1T is fine. The address is where every program of every node can map
/// the file; without --address the cluster chooses one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    file: PathBuf,
    /// 4096, 512M, 1T
    #[arg(long)]
    size: String,
    /// strict (default: what the mount says)
    #[arg(long)]
    consistency: Option<String>,
    /// A multiple of 2 MiB in [0x200000000000, 0x400000000000), in hexadecimal with 0x or decimal
    #[arg(long)]
    address: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("--size {text}: {why}; write for example --size 512M")]
    Size { text: String, why: String },
    #[error("--address {text} is no address; write for example --address 0x200000000000")]
    Address { text: String },
    #[error("{path} names no file")]
    NoName { path: PathBuf },
    #[error("{folder} is not on a SciFS mount")]
    NotOurs { folder: PathBuf },
    #[error("{path} exists already; remove it first, or choose another name")]
    Exists { path: PathBuf },
    #[error("cannot create {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("the consistency {value:?} was not accepted: {source}; use strict, or leave --consistency out")]
    Consistency { value: String, source: io::Error },
    #[error(
        "another file lies at {value} or within --size of it; see its user.scifs.address, or leave --address out"
    )]
    Overlaps { value: String },
    #[error(
        "the address {value} was not accepted: {source}; it is a multiple of 2 MiB in [0x200000000000, 0x400000000000)"
    )]
    BadAddress { value: String, source: io::Error },
    #[error("the size {text} was not accepted: {source}")]
    Resize { text: String, source: io::Error },
}

impl CreateError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Size { .. } | Self::Address { .. } | Self::NoName { .. } | Self::NotOurs { .. } => {
                Exit::Usage
            }
            _ => Exit::Failed,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let wish = Wish::read(args)?;
    create(&args.file, &wish)?;
    let address = stat::attribute(&args.file, ADDRESS).ok();
    if args.json {
        let about = json!({ "path": args.file, "size_bytes": wish.size_bytes, "address": address });
        print(&format!("{about:#}"));
    } else if let Some(address) = address {
        print(&format!("{} at {address}", args.file.display()));
    }
    Ok(())
}

const ADDRESS: &str = "user.scifs.address";
const CONSISTENCY: &str = "user.scifs.consistency";

struct Wish {
    size: String,
    size_bytes: u64,
    consistency: Option<String>,
    address: Option<u64>,
}

impl Wish {
    fn read(args: &Args) -> Result<Self, CreateError> {
        let size_error = |why: String| CreateError::Size { text: args.size.clone(), why };
        let size = Size::parse(&args.size).map_err(|error| size_error(error.to_string()))?;
        let Amount::Bytes(size_bytes) = size.amount() else {
            return Err(size_error("a file has no share of the machine".into()));
        };
        let address = args.address.as_deref().map(address).transpose()?;
        Ok(Self { size: args.size.clone(), size_bytes, consistency: args.consistency.clone(), address })
    }
}

fn address(text: &str) -> Result<u64, CreateError> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    // parse() would take a leading plus sign.
    number.ok().filter(|_| !text.contains('+')).ok_or_else(|| CreateError::Address { text: text.into() })
}

fn create(path: &Path, wish: &Wish) -> Result<(), CreateError> {
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return Err(CreateError::NoName { path: path.into() });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let make = |source| CreateError::Make { path: path.into(), source };
    let mounted = folder.canonicalize().and_then(|folder| mounts::around(&folder)).map_err(make)?;
    if mounted.is_none() {
        return Err(CreateError::NotOurs { folder: folder.into() });
    }
    if path.symlink_metadata().is_ok() {
        return Err(CreateError::Exists { path: path.into() });
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(make(Errno::NAMETOOLONG.into()));
    }
    let draft = Draft::new(folder).map_err(make)?;
    fill(&draft, wish)?;
    draft.become_file(path).map_err(|errno| match errno {
        Errno::EXIST => CreateError::Exists { path: path.into() },
        errno => make(errno.into()),
    })
}

/// What the draft's name must not hide: the real one has to be possible too.
const NAME_BYTES_MAX: usize = 255;

/// A file that goes when it is dropped before it has its name.
struct Draft {
    path: PathBuf,
    file: File,
    done: bool,
}

impl Draft {
    fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".scifs-create-{:016x}", chance()?));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { path, file, done: false })
    }

    fn become_file(mut self, path: &Path) -> Result<(), Errno> {
        rustix::fs::renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            eprintln!("scifs: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Several may create in one folder from several nodes, so a process number is not enough.
fn chance() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The size comes last: what is below can only be set while the file is empty.
fn fill(draft: &Draft, wish: &Wish) -> Result<(), CreateError> {
    let set = |name: &str, value: &str| {
        rustix::fs::fsetxattr(&draft.file, name, value.as_bytes(), XattrFlags::empty())
    };
    if let Some(value) = &wish.consistency {
        set(CONSISTENCY, value)
            .map_err(|errno| CreateError::Consistency { value: value.clone(), source: errno.into() })?;
    }
    let address = wish.address.map(|address| format!("{address:#x}"));
    if let Some(value) = &address {
        set(ADDRESS, value).map_err(|errno| address_error(value, errno))?;
    }
    draft.file.set_len(wish.size_bytes).map_err(|source| match (&address, Errno::from_io_error(&source)) {
        (Some(value), Some(Errno::EXIST | Errno::ADDRINUSE)) => {
            CreateError::Overlaps { value: value.clone() }
        }
        _ => CreateError::Resize { text: wish.size.clone(), source },
    })
}

fn address_error(value: &str, errno: Errno) -> CreateError {
    match errno {
        Errno::EXIST | Errno::ADDRINUSE => CreateError::Overlaps { value: value.into() },
        errno => CreateError::BadAddress { value: value.into(), source: errno.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_both_bases_and_nothing_else() {
        assert_eq!(address("0x200000000000").unwrap(), 0x2000_0000_0000);
        assert_eq!(address("35184372088832").unwrap(), 0x2000_0000_0000);
        for text in ["", "0x", "+5", "-1", "0x+5", "2000g", "0x1ffffffffffffffff"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_elsewhere_is_refused_and_nothing_is_left_there() {
        let folder = std::env::temp_dir().join(format!("scifs-create-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let wish = Wish { size: "4K".into(), size_bytes: 4096, consistency: None, address: None };
        let refused = create(&folder.join("file"), &wish);
        let left = std::fs::read_dir(&folder).unwrap().count();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(refused, Err(CreateError::NotOurs { .. })));
        assert_eq!(left, 0);
    }
}
