//! Why something about names can't be done.

use rustix::io::Errno;
use thiserror::Error;

use super::attr::Inode;
use super::limits::{
    ADDRESS_END, ADDRESS_FIRST, ADDRESS_UNIT, FILE_BYTES_MAX, GENERATION_MAX, INODES_MAX, LINKS_MAX,
    NAME_BYTES_MAX, PIECES_MAX, STATE_BYTES_MAX, TARGET_BYTES_MAX, XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX,
};

/// The name space's own refusals: the same on every member. It has changed nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("there is no such name")]
    NotFound,
    #[error("there is no such inode any more")]
    Gone,
    #[error("the name is taken")]
    Exists,
    #[error("not a directory")]
    NotDirectory,
    #[error("a directory")]
    IsDirectory,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("not a name: empty, a dot or two, or with a slash or a zero in it")]
    BadName,
    #[error("a name is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("a symbolic link's target is longer than {TARGET_BYTES_MAX} bytes")]
    TargetTooLong,
    #[error("a directory can't be moved into itself")]
    IntoItself,
    #[error("not for this kind of file")]
    WrongKind,
    #[error("a directory has one name only")]
    LinkToDirectory,
    #[error("a file has at most {LINKS_MAX} names")]
    TooManyLinks,
    #[error("there are at most {INODES_MAX} files; delete some")]
    TooManyInodes,
    #[error("all names together take at most {STATE_BYTES_MAX} bytes; delete some files")]
    StateFull,
    #[error("a file has at most {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "a file's pages fall into at most {PIECES_MAX} pieces and {GENERATION_MAX} generations; overwrite it with zeros"
    )]
    LayoutFull,
    #[error("there is no such attribute")]
    NoXattr,
    #[error("the attribute exists")]
    XattrExists,
    #[error("attributes of this name are not kept")]
    XattrUnsupported,
    #[error("an attribute's name is empty or longer than {XATTR_NAME_BYTES_MAX} bytes")]
    XattrName,
    #[error("an attribute's value is longer than {XATTR_VALUE_BYTES_MAX} bytes")]
    XattrTooLong,
    #[error("attributes of one file take at most {XATTRS_BYTES_MAX} bytes")]
    XattrsFull,
    #[error("this attribute can't be removed")]
    XattrFixed,
    #[error("there is no such property; user.scifs.address and user.scifs.consistency can be set")]
    UnknownProperty,
    #[error("the consistency is \"strict\" or \"lazy\"")]
    BadConsistency,
    #[error(
        "an address is a multiple of {ADDRESS_UNIT:#x} from {ADDRESS_FIRST:#x} up to {ADDRESS_END:#x}, and the file ends before that"
    )]
    BadAddress,
    #[error("this can be changed only as long as the file is empty")]
    NotEmptyFile,
    #[error("the addresses from {address:#x} on belong to inode {inode}; choose others")]
    Overlaps { address: u64, inode: Inode },
    #[error(
        "the file can't grow at its address: inode {inode} begins at {address:#x}; delete that, or make this one anew with its full size"
    )]
    NoRoom { address: u64, inode: Inode },
    #[error(
        "the file can't grow at its address: it would go beyond {ADDRESS_END:#x}; make it anew with its full size"
    )]
    EndOfAddresses,
    #[error("no free range of addresses is long enough for this file; delete files, or make it shorter")]
    NoAddress,
    #[error("not a command of this version; are all nodes the same version of scifs?")]
    Malformed,
}

impl Refusal {
    pub fn errno(&self) -> Errno {
        match self {
            Self::NotFound => Errno::NOENT,
            Self::Gone => Errno::STALE,
            Self::Exists | Self::XattrExists => Errno::EXIST,
            Self::NotDirectory => Errno::NOTDIR,
            Self::IsDirectory => Errno::ISDIR,
            Self::NotEmpty => Errno::NOTEMPTY,
            Self::NameTooLong | Self::TargetTooLong => Errno::NAMETOOLONG,
            Self::BadName
            | Self::IntoItself
            | Self::WrongKind
            | Self::UnknownProperty
            | Self::BadConsistency
            | Self::BadAddress => Errno::INVAL,
            Self::LinkToDirectory | Self::XattrFixed => Errno::PERM,
            Self::TooManyLinks => Errno::MLINK,
            Self::TooManyInodes | Self::StateFull | Self::LayoutFull | Self::XattrsFull | Self::NoAddress => {
                Errno::NOSPC
            }
            Self::TooLong | Self::NoRoom { .. } | Self::EndOfAddresses => Errno::FBIG,
            Self::NoXattr => Errno::NODATA,
            Self::XattrUnsupported => Errno::OPNOTSUPP,
            Self::XattrName => Errno::RANGE,
            Self::XattrTooLong => Errno::TOOBIG,
            Self::NotEmptyFile => Errno::BUSY,
            Self::Overlaps { .. } => Errno::ADDRINUSE,
            Self::Malformed => Errno::IO,
        }
    }
}

/// What asking or changing names ends in when it fails.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{operation}: this node is not a member of a cluster (any longer)")]
    NotMember { operation: &'static str },
    #[error(
        "{operation}: not decided within {waited_ms} ms: {why}; it may still take effect: look before you retry"
    )]
    Undecided { operation: &'static str, waited_ms: u64, why: String },
    #[error("{operation}: nobody answered within {waited_ms} ms: {why}")]
    NoAnswer { operation: &'static str, waited_ms: u64, why: String },
    #[error("{operation}: the answer makes no sense: {why}; are all nodes the same version of scifs?")]
    Nonsense { operation: &'static str, why: String },
}

impl NameError {
    /// What a program gets.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Refused(why) => why.errno(),
            _ => Errno::IO,
        }
    }
}
