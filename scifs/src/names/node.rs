//! One inode, as the state machine keeps it.

use std::collections::BTreeMap;

use super::attr::{Attr, Consistency, Inode, Kind, Layout, Time};
use super::command::Special;
use super::directory::Directory;
use super::error::Refusal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Permissions and the three bits above them.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) atime: Time,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
    pub(super) birth: Time,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    File(File),
    Directory(Directory),
    SymLink(Vec<u8>),
    Special { kind: Special, device: u32 },
}

/// What only regular files have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) size: u64,
    pub(super) consistency: Consistency,
    pub(super) address: Option<u64>,
    pub(super) layout: Layout,
    /// The last generation that was begun.
    pub(super) generation: u32,
}

pub(super) const SET_UID: u32 = 0o4000;
pub(super) const SET_GID: u32 = 0o2000;
pub(super) const GROUP_EXECUTE: u32 = 0o0010;
pub(super) const MODE_BITS: u32 = 0o7777;

/// A directory's size says nothing; programs like it to be more than zero.
const DIRECTORY_BYTES: u64 = 4096;

impl Node {
    pub(super) fn attr(&self, inode: Inode) -> Attr {
        Attr {
            inode,
            kind: self.kind(),
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            size: self.size(),
            device: match self.body {
                Body::Special { device, .. } => device,
                _ => 0,
            },
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            birth: self.birth,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::SymLink(_) => Kind::SymLink,
            Body::Special { kind: Special::Fifo, .. } => Kind::Fifo,
            Body::Special { kind: Special::Socket, .. } => Kind::Socket,
            Body::Special { kind: Special::CharDevice, .. } => Kind::CharDevice,
            Body::Special { kind: Special::BlockDevice, .. } => Kind::BlockDevice,
        }
    }

    fn size(&self) -> u64 {
        match &self.body {
            Body::File(file) => file.size,
            Body::Directory(_) => DIRECTORY_BYTES,
            Body::SymLink(target) => target.len() as u64,
            Body::Special { .. } => 0,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    pub(super) fn directory(&self) -> Result<&Directory, Refusal> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Refusal::NotDirectory),
        }
    }

    pub(super) fn file(&self) -> Result<&File, Refusal> {
        match &self.body {
            Body::File(file) => Ok(file),
            Body::Directory(_) => Err(Refusal::IsDirectory),
            _ => Err(Refusal::WrongKind),
        }
    }

    pub(super) fn file_mut(&mut self) -> Result<&mut File, Refusal> {
        match &mut self.body {
            Body::File(file) => Ok(file),
            Body::Directory(_) => Err(Refusal::IsDirectory),
            _ => Err(Refusal::WrongKind),
        }
    }

    /// Its contents have changed.
    pub(super) fn changed(&mut self, now: Time) {
        self.mtime = now;
        self.ctime = now;
    }

    /// What a change of owner or contents does to a program's privileges.
    pub(super) fn drop_privileges(&mut self) {
        if self.is_directory() {
            return;
        }
        self.mode &= !SET_UID;
        if self.mode & GROUP_EXECUTE != 0 {
            self.mode &= !SET_GID;
        }
    }

    /// No more than what it takes in a snapshot; its directory's entries are counted by themselves.
    pub(super) fn weight(&self) -> usize {
        let xattrs: usize = self.xattrs.iter().map(|(name, value)| xattr_weight(name, value)).sum();
        let body = match &self.body {
            Body::File(file) => file.layout.pieces.len() * PIECE_WEIGHT,
            Body::Directory(_) | Body::Special { .. } => 0,
            Body::SymLink(target) => target.len(),
        };
        NODE_WEIGHT + xattrs + body
    }
}

/// Bytes of a snapshot, at most: `WIRE.md` counts them.
pub(super) const NODE_WEIGHT: usize = 112;
pub(super) const ENTRY_WEIGHT: usize = 24;
pub(super) const PIECE_WEIGHT: usize = 9;
const XATTR_WEIGHT: usize = 8;

pub(super) fn entry_weight(name: &[u8]) -> usize {
    ENTRY_WEIGHT + name.len()
}

pub(super) fn xattr_weight(name: &[u8], value: &[u8]) -> usize {
    XATTR_WEIGHT + name.len() + value.len()
}
