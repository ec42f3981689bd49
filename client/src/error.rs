//! What can go wrong for a program, as a number of errno and as a sentence that says what to do.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    #[error("cannot open {path}: {errno}; {}", advice(*errno))]
    Open { path: PathBuf, errno: Errno },
    #[error(
        "{path} is not on a SciFS mount; give the path of a file below one (findmnt -t fuse.scifs lists them)"
    )]
    NotOurs { path: PathBuf },
    #[error("{path} is a folder; give the path of a file")]
    Folder { path: PathBuf },
    #[error("{path} has no bytes to map yet; give it a size first, by scifs create or ftruncate")]
    Empty { path: PathBuf },
    #[error("the protection has to be PROT_READ or PROT_READ | PROT_WRITE")]
    Protection,
    #[error("{what} has to be a multiple of the page size, 4096")]
    Unaligned { what: &'static str },
    #[error(
        "the file ends at {size} bytes, before offset {offset}; map what is there, or make the file longer first"
    )]
    BehindEnd { offset: u64, size: u64 },
    #[error(
        "something is mapped at {address:#x} already, where {path} belongs: the same file, perhaps; unmap it first, \
         or map at another address by scifs_map_at (pointers in the file don't fit there)"
    )]
    Taken { path: PathBuf, address: usize },
    #[error("cannot map {path}: {errno}; {}", advice(*errno))]
    Map { path: PathBuf, errno: Errno },
    #[error("the address of {path} cannot be read: {errno}; it is the extended attribute user.scifs.address")]
    Address { path: PathBuf, errno: Errno },
    #[error("{address:#x} is not where a mapping begins that scifs_map or scifs_map_at has made")]
    NotBegin { address: usize },
    #[error(
        "what begins at {address:#x} does not lie in one mapping that scifs_map or scifs_map_at has made"
    )]
    NotMapped { address: usize },
    #[error("a range has at least one byte")]
    NoLength,
    #[error(
        "the mode has to be SCIFS_READ or SCIFS_WRITE, for locks with SCIFS_NOWAIT if they shall not wait"
    )]
    Mode,
    #[error("a lock for writing needs a mapping for writing; map with PROT_READ | PROT_WRITE")]
    LockReadOnly,
    #[error("somebody else has a lock on a part of this range; try again later, or leave SCIFS_NOWAIT out")]
    Locked,
    #[error(
        "there is no such lock to let go of; scifs_unlock takes the address, the length and the mode of scifs_lock"
    )]
    NotLocked,
    #[error("cannot lock: {errno}; {}", advice(*errno))]
    Lock { errno: Errno },
    #[error("the word has to be aligned, and 4 or 8 bytes wide")]
    Word,
    #[error("the value is another one already; look at it again before waiting")]
    OtherValue,
    #[error("nobody has notified within the time that was given")]
    TimedOut,
    #[error("a signal came in between; call again")]
    Interrupted,
    #[error("the name of a barrier has 1 to 63 bytes")]
    BarrierName,
    #[error("a barrier has at least one party, and all parties have to give the same number")]
    Parties,
    #[error(
        "the node of this mount does not offer {what}; it is of an older version than this library: update it"
    )]
    NotOffered { what: &'static str },
    #[error("there is no SciFS mount on this machine; mount one first: mount -t fuse scifs /dsm")]
    NoMount,
    #[error(
        "there are several SciFS mounts on this machine; map a file of one first, or set SCIFS_MOUNT to its path"
    )]
    WhichMount,
    #[error("cannot {what}: {errno}; {}", advice(*errno))]
    Node { what: &'static str, errno: Errno },
    #[error(
        "the node answers what this library does not understand; use the library and the node of one version"
    )]
    Version,
    #[error("{what}; scifs.h says what each argument is")]
    Argument { what: &'static str },
    #[error("this is a bug in libscifs; please report what the program did")]
    Bug,
}

impl Error {
    /// What C programs find in `errno`.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Open { errno, .. }
            | Self::Map { errno, .. }
            | Self::Address { errno, .. }
            | Self::Lock { errno }
            | Self::Node { errno, .. } => *errno,
            Self::NotOurs { .. } | Self::NoMount | Self::WhichMount => Errno::NODEV,
            Self::Folder { .. } => Errno::ISDIR,
            Self::Taken { .. } => Errno::EXIST,
            Self::BehindEnd { .. } => Errno::NXIO,
            Self::NotMapped { .. } => Errno::FAULT,
            Self::LockReadOnly => Errno::ACCESS,
            Self::Locked | Self::OtherValue => Errno::AGAIN,
            Self::NotLocked => Errno::PERM,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::Interrupted => Errno::INTR,
            Self::NotOffered { .. } => Errno::OPNOTSUPP,
            Self::Version => Errno::PROTO,
            Self::Bug => Errno::NOTRECOVERABLE,
            Self::Empty { .. }
            | Self::Protection
            | Self::Unaligned { .. }
            | Self::NotBegin { .. }
            | Self::NoLength
            | Self::Mode
            | Self::Word
            | Self::BarrierName
            | Self::Argument { .. }
            | Self::Parties => Errno::INVAL,
        }
    }
}

/// What to do about an errno of a call on a mount.
pub fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => "create the file first, for example with scifs create, and look at the path",
        Errno::ACCESS | Errno::PERM => {
            "look at the mode and the owner of the file, and mount with allow_other for other users"
        }
        Errno::NOTCONN => "the node of this mount is gone: unmount, and mount again",
        Errno::IO => "the cluster could not do it in time, or a page is lost; scifs status says how it is",
        Errno::NOMEM => {
            "there are too many mappings or too little address space; unmap what isn't used (vm.max_map_count)"
        }
        Errno::MFILE | Errno::NFILE => "there are too many open files; close some, or raise ulimit -n",
        Errno::DEADLK => "let go of a lock first: the others wait for this process",
        Errno::NOLCK => "there are too many locks; let go of some",
        Errno::INVAL => "an argument is out of its range; scifs.h says what each may be",
        Errno::AGAIN => "it can't be done right now; look again, then try again",
        Errno::NODEV => {
            "give the path of a file on a SciFS mount, or mount one first: mount -t fuse scifs /dsm"
        }
        Errno::ISDIR => "give the path of a file, not of a folder",
        Errno::EXIST => "something is mapped there already; unmap it first",
        Errno::FAULT => "give an address that lies in a mapping of scifs_map or scifs_map_at",
        Errno::TIMEDOUT => "the time that was given is over",
        Errno::INTR => "a signal came in between; call again",
        Errno::OPNOTSUPP => "the node is of an older version than this library: update it",
        Errno::PROTO => "use the library and the node of one version",
        Errno::NXIO => "the file is shorter than that; map what is there",
        _ => "scifs status says how the node is, and its log what happened",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_what_to_do() {
        let open = Error::Open { path: "/dsm/x".into(), errno: Errno::NOENT };
        assert!(
            open.to_string().starts_with("cannot open /dsm/x: ") && open.to_string().contains("scifs create")
        );
        assert_eq!(open.errno(), Errno::NOENT);
        assert!(Error::WhichMount.to_string().contains("SCIFS_MOUNT"));
    }
}
