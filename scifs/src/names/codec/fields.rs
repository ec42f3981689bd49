//! The fields that several layouts share.

use scios::rpc::codec::{DecodeError, Reader, Writer};

use crate::names::attr::{Attr, Consistency, Kind, Layout, Piece, Time};
use crate::names::limits::{INODE_MAX, PIECES_MAX};

pub(super) fn invalid(what: &'static str, value: impl Into<u64>) -> DecodeError {
    DecodeError::Invalid { what, value: value.into() }
}

pub(super) fn put_time(to: &mut Writer, time: Time) {
    to.i64(time.seconds);
    to.u32(time.nanos);
}

pub(super) fn get_time(from: &mut Reader<'_>) -> Result<Time, DecodeError> {
    let (seconds, nanos) = (from.i64()?, from.u32()?);
    if nanos >= 1_000_000_000 {
        Err(invalid("time's nanoseconds", nanos))
    } else {
        Ok(Time { seconds, nanos })
    }
}

pub(super) fn get_inode(from: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let inode = from.u64()?;
    if inode == 0 || inode >= INODE_MAX { Err(invalid("inode", inode)) } else { Ok(inode) }
}

pub(in crate::names) const fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::File => 0,
        Kind::Directory => 1,
        Kind::SymLink => 2,
        Kind::Fifo => 3,
        Kind::Socket => 4,
        Kind::CharDevice => 5,
        Kind::BlockDevice => 6,
    }
}

pub(in crate::names) fn kind_from(code: u8) -> Result<Kind, DecodeError> {
    Ok(match code {
        0 => Kind::File,
        1 => Kind::Directory,
        2 => Kind::SymLink,
        3 => Kind::Fifo,
        4 => Kind::Socket,
        5 => Kind::CharDevice,
        6 => Kind::BlockDevice,
        other => return Err(invalid("kind of file", other)),
    })
}

pub(in crate::names) const fn consistency_code(consistency: Consistency) -> u8 {
    match consistency {
        Consistency::Strict => 0,
        Consistency::Lazy => 1,
    }
}

pub(in crate::names) fn consistency_from(code: u8) -> Result<Consistency, DecodeError> {
    match code {
        0 => Ok(Consistency::Strict),
        1 => Ok(Consistency::Lazy),
        other => Err(invalid("consistency", other)),
    }
}

pub(super) fn put_attr(to: &mut Writer, attr: &Attr) {
    to.u64(attr.inode);
    to.u8(kind_code(attr.kind));
    for word in [attr.mode, attr.links, attr.uid, attr.gid] {
        to.u32(word);
    }
    to.u64(attr.size);
    to.u32(attr.device);
    for time in [attr.atime, attr.mtime, attr.ctime, attr.birth] {
        put_time(to, time);
    }
}

pub(super) fn get_attr(from: &mut Reader<'_>) -> Result<Attr, DecodeError> {
    Ok(Attr {
        inode: get_inode(from)?,
        kind: kind_from(from.u8()?)?,
        mode: from.u32()?,
        links: from.u32()?,
        uid: from.u32()?,
        gid: from.u32()?,
        size: from.u64()?,
        device: from.u32()?,
        atime: get_time(from)?,
        mtime: get_time(from)?,
        ctime: get_time(from)?,
        birth: get_time(from)?,
    })
}

pub(super) fn put_layout(to: &mut Writer, layout: &Layout) {
    to.list("pieces", &layout.pieces, PIECES_MAX, |to, piece| {
        to.u32(piece.first_page);
        to.u32(piece.generation);
    });
}

pub(super) fn get_layout(from: &mut Reader<'_>) -> Result<Layout, DecodeError> {
    let get = |from: &mut Reader<'_>| Ok(Piece { first_page: from.u32()?, generation: from.u32()? });
    let pieces = from.list("pieces", PIECES_MAX, get)?;
    check_layout(&pieces)?;
    Ok(Layout { pieces })
}

/// From page 0 on, ascending.
pub(in crate::names) fn check_layout(pieces: &[Piece]) -> Result<(), DecodeError> {
    let begins = pieces.first().is_some_and(|piece| piece.first_page == 0);
    if begins && pieces.is_sorted_by(|a, b| a.first_page < b.first_page) {
        Ok(())
    } else {
        Err(invalid("layout", pieces.len() as u64))
    }
}
