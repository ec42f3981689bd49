//! What the name space can be asked. Bytes: `WIRE.md`.

use super::attr::{Attr, FileInfo, Inode, Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Lookup {
        parent: Inode,
        name: Vec<u8>,
    },
    GetAttr {
        inode: Inode,
    },
    /// Entries behind a cookie (0: from the start), at most `max` of them. With "." and "..".
    ReadDir {
        inode: Inode,
        after: u64,
        max: u32,
    },
    ReadLink {
        inode: Inode,
    },
    GetXattr {
        inode: Inode,
        name: Vec<u8>,
    },
    ListXattr {
        inode: Inode,
    },
    StatFs,
    /// A regular file with its layout.
    File {
        inode: Inode,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Of `Lookup` and `GetAttr`.
    Attr(Attr),
    /// Fewer than asked for: the end, or as much as one answer holds; an empty list is the end.
    Entries(Vec<Entry>),
    Target(Vec<u8>),
    Value(Vec<u8>),
    XattrNames(Vec<Vec<u8>>),
    Totals(Totals),
    File(FileInfo),
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where to go on behind it. Stays valid whatever comes and goes.
    pub cookie: u64,
    pub inode: Inode,
    pub kind: Kind,
    pub name: Vec<u8>,
}

/// What `statfs` needs to know of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub inodes: u64,
    pub inodes_max: u64,
}
