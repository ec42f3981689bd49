//! The names that the engine uses. Small, plain and ordered: they are keys of its tables and travel in its messages.

use std::fmt;

use super::limits::EXTENT_PAGES;

/// A member of the cluster by its number, given by the membership. The driver maps it to a `NodeId`. A number may be
/// given again, but only in a later epoch than the one in which its last owner left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberNo(pub u32);

/// Counts departures: raised by the membership's log whenever a member leaves (or a connection between two members
/// broke, so that messages are missing), never by a member that only joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

/// One page of one segment. 2^32 pages of 4 KiB are 16 TiB a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    pub segment: SegmentId,
    pub index: u32,
}

/// A run of `EXTENT_PAGES` pages that have their home and their shard in common, so that a run of pages is one
/// message to one node and one lock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtentId {
    pub segment: SegmentId,
    pub index: u32,
}

/// Who maps a page on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapperId(pub u32);

/// The surface's name for a request; the engine only gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    Read,
    Write,
}

impl PageId {
    pub fn extent(self) -> ExtentId {
        ExtentId { segment: self.segment, index: self.index / EXTENT_PAGES }
    }

    /// The page `n` further on, if it is in the same extent.
    pub fn ahead(self, n: u32) -> Option<Self> {
        let next = Self { segment: self.segment, index: self.index.checked_add(n)? };
        (next.extent() == self.extent()).then_some(next)
    }
}

impl ExtentId {
    pub fn first(self) -> PageId {
        PageId { segment: self.segment, index: self.index.saturating_mul(EXTENT_PAGES) }
    }

    pub fn last(self) -> PageId {
        PageId { segment: self.segment, index: self.first().index.saturating_add(EXTENT_PAGES - 1) }
    }

    /// Spreads extents over slots and shards. The same on every node and in every version: it is part of the protocol.
    pub fn hash(self) -> u64 {
        let mut h = self.segment.0 ^ (u64::from(self.index) << 32 | u64::from(self.index)).rotate_left(17);
        for shift in [30, 27, 31] {
            h ^= h >> shift;
            h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        h ^ (h >> 29)
    }
}

impl MapperId {
    /// The kernel's page cache behind the mount. It has bytes of its own: a copy of the frame.
    pub const FILE: Self = Self(0);
    /// The programs that map frames themselves, all of this node together.
    pub const VM: Self = Self(1);
    /// The daemon itself, for one access to the frame (`read`, `write`, prefetch). Keeps nothing.
    pub const DIRECT: Self = Self(u32::MAX);

    /// Whether this mapper's bytes are its own, not the frame that all others on this node share.
    pub fn copies(self) -> bool {
        self == Self::FILE
    }
}

impl fmt::Debug for MemberNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{:x}", self.0)
    }
}

impl fmt::Debug for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.segment, self.index)
    }
}

impl fmt::Debug for ExtentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:x{}", self.segment, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_with_their_extent() {
        let page = PageId { segment: SegmentId(1), index: EXTENT_PAGES - 2 };
        assert_eq!(page.ahead(1).map(|p| p.index), Some(EXTENT_PAGES - 1));
        assert_eq!(page.ahead(2), None);
        assert_eq!(page.extent().last().index, EXTENT_PAGES - 1);
        let last = PageId { segment: SegmentId(1), index: u32::MAX };
        assert_eq!(last.ahead(1), None);
        assert_eq!(last.extent().last(), last);
    }
}
