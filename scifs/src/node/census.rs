//! How many pages of a file each member has: asked of all members at once. For `scifs stat`.

use scios::NodeId;
use scios::rpc::codec::{DecodeError, Message, Reader, Request, Writer};

use super::file::File;
use super::layout::{Layout, Piece, segment};
use super::pages::Pages;
use crate::coherence::{Holders, PageId, PageState};
use crate::names::limits::PIECES_MAX;

/// How many pages of a file of this layout have you?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Census {
    inode: u64,
    layout: Layout,
}

/// What one node has of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStat {
    pub pages_exclusive: u64,
    pub pages_shared: u64,
    /// On their way in or out.
    pub pages_moving: u64,
    /// Pages whose home it is.
    pub pages_home: u64,
}

impl FileStat {
    /// Whether the node has nothing to do with the file.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Message for Census {
    const KIND: u16 = 259;
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        to.u64(self.inode);
        to.list("pieces", self.layout.pieces(), PIECES_MAX, |to, piece| {
            to.u32(piece.first_page);
            to.u32(piece.generation);
        });
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let inode = from.u64()?;
        let piece = |from: &mut Reader<'_>| Ok(Piece { first_page: from.u32()?, generation: from.u32()? });
        let pieces = from.list("pieces", PIECES_MAX, piece)?;
        Ok(Self { inode, layout: Layout::new(pieces) })
    }
}

impl Message for FileStat {
    const KIND: u16 = 260;
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        for count in [self.pages_exclusive, self.pages_shared, self.pages_moving, self.pages_home] {
            to.u64(count);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            pages_exclusive: from.u64()?,
            pages_shared: from.u64()?,
            pages_moving: from.u64()?,
            pages_home: from.u64()?,
        })
    }
}

impl Request for Census {
    type Reply = FileStat;
    const IDEMPOTENT: bool = true;
}

impl Pages {
    /// What each member has of a file; nothing for a member that did not say in time. Waits, so not from a worker or a receiver.
    pub fn stat(&self, file: &File) -> Vec<(NodeId, Option<FileStat>)> {
        let census = Census { inode: file.inode(), layout: file.layout() };
        let mut all = self.ask_others(&census);
        all.push((self.rpc.fabric().id(), Some(self.count(&census))));
        all
    }

    /// What this node has of a file.
    pub(super) fn count(&self, census: &Census) -> FileStat {
        let mut stat = FileStat::default();
        for shard in &self.shards {
            let shard = shard.lock();
            let Some(engine) = &shard.engine else { continue };
            for piece in census.layout.pieces() {
                let page = |index| PageId { segment: segment(census.inode, piece.generation), index };
                let range = page(piece.first_page)..=page(census.layout.piece_end(piece.first_page));
                if range.is_empty() {
                    continue;
                }
                for page in engine.pages_in(range.clone()) {
                    match page.state {
                        PageState::Exclusive => stat.pages_exclusive += 1,
                        PageState::Shared => stat.pages_shared += 1,
                        _ => stat.pages_moving += 1,
                    }
                }
                let touched = engine.homes_in(range).filter(|home| *home.holders != Holders::Untouched);
                stat.pages_home += touched.count() as u64;
            }
        }
        stat
    }
}
