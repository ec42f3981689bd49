//! The names that the locks use.

use std::fmt;

use crate::coherence::MemberNo;

pub use crate::coherence::Token;

/// Locks of the two spaces never meet, as on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// `fcntl`: byte ranges, owned by a process, or by an open file (OFD): FUSE doesn't tell which.
    Posix,
    /// `flock`: whole files, owned by an open file.
    Flock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Read,
    Write,
}

/// Bytes of a file, both ends included. To the end of the file is `u64::MAX` or what the kernel takes for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    pub start: u64,
    pub end: u64,
}

/// Who holds or wants locks, as its node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalOwner {
    pub space: Space,
    pub id: u64,
}

/// Who holds or wants locks, in the cluster. Ordered by node first, so that a node's owners are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    pub node: MemberNo,
    pub local: LocalOwner,
}

/// A request that waits, in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId {
    pub node: MemberNo,
    pub token: Token,
}

impl Range {
    pub const ALL: Self = Self { start: 0, end: u64::MAX };

    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    pub fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl Kind {
    pub fn conflicts(self, other: Self) -> bool {
        self == Self::Write || other == Self::Write
    }
}

/// Spreads files over registrars. The same on every node and in every version: it is part of the protocol.
pub(super) fn hash(inode: u64) -> u64 {
    let mut h = inode.rotate_left(23) ^ 0x6c6f_636b_735f_6f66;
    for shift in [30, 27, 31] {
        h ^= h >> shift;
        h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    h ^ (h >> 29)
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.start, self.end)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}{}", self.node, self.local.space, self.local.id)
    }
}
