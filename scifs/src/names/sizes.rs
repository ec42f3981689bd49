//! How long files are, and which generation their pages belong to.
//!
//! Cutting a file and punching a hole begin a new generation for the pages concerned. A page of a generation that nobody has
//! written to is zeros, so nothing has to be overwritten, here or anywhere.

use super::attr::{Inode, Layout, Piece, Time, pages};
use super::command::Answer;
use super::error::Refusal;
use super::event::Event;
use super::limits::{FILE_BYTES_MAX, GENERATION_MAX, PIECES_MAX};
use super::node::{File, PIECE_WEIGHT};
use super::state::Names;

impl Names {
    pub(super) fn grow(&mut self, inode: Inode, size: u64, now: Time) -> Result<Answer, Refusal> {
        if size > self.node(inode)?.file()?.size {
            self.set_size(inode, size)?;
        }
        self.node_mut(inode)?.changed(now);
        self.attr(inode)
    }

    pub(super) fn append(
        &mut self,
        inode: Inode,
        (at, bytes): (u64, u64),
        now: Time,
    ) -> Result<Answer, Refusal> {
        let end = at.checked_add(bytes).ok_or(Refusal::TooLong)?;
        let size = self.node(inode)?.file()?.size;
        if at <= size && end > size {
            self.set_size(inode, end)?;
        }
        self.node_mut(inode)?.changed(now);
        self.attr(inode)
    }

    /// Longer or shorter; the times are the caller's.
    pub(super) fn set_size(&mut self, inode: Inode, size: u64) -> Result<(), Refusal> {
        let file = self.node(inode)?.file()?;
        if size > FILE_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let (old, address) = (file.size, file.address);
        if size == old {
            return Ok(());
        }
        if size < old && pages(size) < pages(old) {
            let first = u32::try_from(pages(size)).map_err(|_| Refusal::TooLong)?;
            self.relay(inode, |file| file.cut(first))?;
        }
        // A range that becomes shorter is never refused, so nothing is half done here.
        if let Some(address) = address {
            self.addresses.resize(address, size)?;
        }
        let file = self.file_mut(inode)?;
        file.size = size;
        let layout = file.layout.clone();
        self.tell(if size > old {
            Event::Grown { inode, size }
        } else {
            Event::Relaid { inode, size, layout }
        });
        Ok(())
    }

    pub(super) fn punch(
        &mut self,
        inode: Inode,
        first_page: u32,
        pages: u32,
        now: Time,
    ) -> Result<Answer, Refusal> {
        self.node(inode)?.file()?;
        if pages > 0 {
            self.relay(inode, |file| file.punch(first_page, pages))?;
            let file = self.file_mut(inode)?;
            let (size, layout) = (file.size, file.layout.clone());
            self.tell(Event::Relaid { inode, size, layout });
        }
        self.node_mut(inode)?.changed(now);
        self.attr(inode)
    }

    /// Gives a file another layout, if there is room for it.
    fn relay(
        &mut self,
        inode: Inode,
        change: impl FnOnce(&File) -> Result<(Layout, u32), Refusal>,
    ) -> Result<(), Refusal> {
        let file = self.node(inode)?.file()?;
        let before = file.layout.pieces.len() * PIECE_WEIGHT;
        let (layout, generation) = change(file)?;
        let after = layout.pieces.len() * PIECE_WEIGHT;
        self.room_for(after.saturating_sub(before))?;
        self.weight = self.weight + after - before;
        let file = self.file_mut(inode)?;
        (file.layout, file.generation) = (layout, generation);
        Ok(())
    }
}

impl File {
    /// The layout without what lies at and above a page, and the generation that begins there.
    fn cut(&self, first: u32) -> Result<(Layout, u32), Refusal> {
        let generation = self.next_generation()?;
        let mut pieces: Vec<Piece> =
            self.layout.pieces.iter().copied().filter(|piece| piece.first_page < first).collect();
        pieces.push(Piece { first_page: first, generation });
        bounded(pieces, generation)
    }

    /// The layout with a new generation for a run of pages.
    fn punch(&self, first: u32, pages: u32) -> Result<(Layout, u32), Refusal> {
        let generation = self.next_generation()?;
        let behind = first.checked_add(pages);
        let old = &self.layout.pieces;
        let mut pieces: Vec<Piece> = old.iter().copied().filter(|piece| piece.first_page < first).collect();
        pieces.push(Piece { first_page: first, generation });
        if let Some(behind) = behind {
            pieces.push(Piece { first_page: behind, generation: self.layout.generation(behind) });
            pieces.extend(old.iter().copied().filter(|piece| piece.first_page > behind));
        }
        bounded(pieces, generation)
    }

    fn next_generation(&self) -> Result<u32, Refusal> {
        if self.generation < GENERATION_MAX { Ok(self.generation + 1) } else { Err(Refusal::LayoutFull) }
    }
}

fn bounded(pieces: Vec<Piece>, generation: u32) -> Result<(Layout, u32), Refusal> {
    if pieces.len() > PIECES_MAX { Err(Refusal::LayoutFull) } else { Ok((Layout { pieces }, generation)) }
}
