//! What is known about an inode.

use super::limits::FILE_BYTES_MAX;
use scios::limits::PAGE_BYTES;

/// The number of an inode: counted up, never given twice.
pub type Inode = u64;

/// The directory that everything is in.
pub const ROOT: Inode = 1;

/// A point in time as programs see it: since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanos: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    File,
    Directory,
    SymLink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub inode: Inode,
    pub kind: Kind,
    /// Permissions and the three bits above them, 0o7777.
    pub mode: u32,
    /// Names that it has; for a directory two and its subdirectories. Zero: it is an orphan.
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// For devices.
    pub device: u32,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub birth: Time,
}

/// How a file's pages are kept coherent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    #[default]
    Strict,
    Lazy,
}

impl Consistency {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lazy => "lazy",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"strict" => Some(Self::Strict),
            b"lazy" => Some(Self::Lazy),
            _ => None,
        }
    }
}

/// From here up to the next piece, a file's pages belong to this generation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    pub first_page: u32,
    pub generation: u32,
}

/// Which generation each page of a file belongs to. The first piece begins at page 0; pieces ascend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    pub pieces: Vec<Piece>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { pieces: vec![Piece { first_page: 0, generation: 0 }] }
    }
}

impl Layout {
    /// The generation of a page.
    pub fn generation(&self, page: u32) -> u32 {
        let after = self.pieces.partition_point(|piece| piece.first_page <= page);
        after.checked_sub(1).and_then(|at| self.pieces.get(at)).map_or(0, |piece| piece.generation)
    }
}

/// How many pages a file of this size has.
pub const fn pages(size: u64) -> u64 {
    size.div_ceil(PAGE_BYTES as u64)
}

/// A regular file with everything that a node needs to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    pub attr: Attr,
    pub layout: Layout,
    pub consistency: Consistency,
    /// None until somebody has asked for it (`NamesClient::address`).
    pub address: Option<u64>,
}

const _: () = assert!(pages(FILE_BYTES_MAX) <= 1 << 32, "a page's number has 32 bits");
