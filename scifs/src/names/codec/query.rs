//! Queries, what they find, and the messages that carry both.

use scios::rpc::codec::{DecodeError, Message, Reader, Request, Writer};

use super::fields::{
    consistency_code, consistency_from, get_attr, get_inode, get_layout, invalid, kind_code, kind_from,
    put_attr, put_layout,
};
use super::refusal::{get_refusal, put_refusal};
use crate::names::attr::FileInfo;
use crate::names::error::Refusal;
use crate::names::limits::{
    ENTRIES_MAX, NAME_BYTES_MAX, TARGET_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
    XATTRS_BYTES_MAX,
};
use crate::names::query::{Entry, Found, Query, Totals};

/// To the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::names) struct Ask(pub(in crate::names) Query);

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::names) enum Asked {
    /// `index`: the last command that it takes into account.
    Found {
        index: u64,
        found: Found,
    },
    Refused(Refusal),
    /// Whoever was asked can't answer for the cluster now.
    NotLeader,
}

/// To every member: answer when you have applied the log up to here and done what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::names) struct Settle {
    pub(in crate::names) index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::names) struct Settled;

impl Message for Ask {
    const KIND: u16 = 272;
    const FENCED: bool = false;
    fn encode(&self, to: &mut Writer) {
        put_query(to, &self.0);
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        get_query(from).map(Self)
    }
}

impl Message for Asked {
    const KIND: u16 = 273;
    const FENCED: bool = false;
    fn encode(&self, to: &mut Writer) {
        match self {
            Self::Found { index, found } => {
                to.u8(0);
                to.u64(*index);
                put_found(to, found);
            }
            Self::Refused(refusal) => {
                to.u8(1);
                put_refusal(to, refusal);
            }
            Self::NotLeader => to.u8(2),
        }
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Found { index: from.u64()?, found: get_found(from)? },
            1 => Self::Refused(get_refusal(from)?),
            2 => Self::NotLeader,
            other => return Err(invalid("answer", other)),
        })
    }
}

impl Request for Ask {
    type Reply = Asked;
    const IDEMPOTENT: bool = true;
}

impl Message for Settle {
    const KIND: u16 = 274;
    const FENCED: bool = false;
    fn encode(&self, to: &mut Writer) {
        to.u64(self.index);
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { index: from.u64()? })
    }
}

impl Message for Settled {
    const KIND: u16 = 275;
    const FENCED: bool = false;
    fn encode(&self, _to: &mut Writer) {}
    fn decode(_from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Request for Settle {
    type Reply = Settled;
    const IDEMPOTENT: bool = true;
}

fn put_query(to: &mut Writer, query: &Query) {
    let (tag, inode) = match query {
        Query::Lookup { parent, .. } => (1, *parent),
        Query::GetAttr { inode } => (2, *inode),
        Query::ReadDir { inode, .. } => (3, *inode),
        Query::ReadLink { inode } => (4, *inode),
        Query::GetXattr { inode, .. } => (5, *inode),
        Query::ListXattr { inode } => (6, *inode),
        Query::StatFs => return to.u8(7),
        Query::File { inode } => (8, *inode),
    };
    to.u8(tag);
    to.u64(inode);
    match query {
        Query::Lookup { name, .. } => to.bytes("name", name, NAME_BYTES_MAX),
        Query::GetXattr { name, .. } => to.bytes("attribute name", name, XATTR_NAME_BYTES_MAX),
        Query::ReadDir { after, max, .. } => {
            to.u64(*after);
            to.u32(*max);
        }
        _ => {}
    }
}

fn get_query(from: &mut Reader<'_>) -> Result<Query, DecodeError> {
    let tag = from.u8()?;
    if tag == 7 {
        return Ok(Query::StatFs);
    }
    let inode = get_inode(from)?;
    Ok(match tag {
        1 => Query::Lookup { parent: inode, name: from.bytes("name", NAME_BYTES_MAX)?.to_vec() },
        2 => Query::GetAttr { inode },
        3 => Query::ReadDir { inode, after: from.u64()?, max: from.u32()? },
        4 => Query::ReadLink { inode },
        5 => Query::GetXattr { inode, name: from.bytes("attribute name", XATTR_NAME_BYTES_MAX)?.to_vec() },
        6 => Query::ListXattr { inode },
        8 => Query::File { inode },
        other => return Err(invalid("query about names", other)),
    })
}

fn put_found(to: &mut Writer, found: &Found) {
    match found {
        Found::Attr(attr) => {
            to.u8(1);
            put_attr(to, attr);
        }
        Found::Entries(entries) => {
            to.u8(2);
            to.list("entries", entries, ENTRIES_MAX, |to, entry| {
                to.u64(entry.cookie);
                to.u64(entry.inode);
                to.u8(kind_code(entry.kind));
                to.bytes("name", &entry.name, NAME_BYTES_MAX);
            });
        }
        Found::Target(target) => {
            to.u8(3);
            to.bytes("target", target, TARGET_BYTES_MAX);
        }
        Found::Value(value) => {
            to.u8(4);
            to.bytes("attribute value", value, XATTR_VALUE_BYTES_MAX);
        }
        Found::XattrNames(names) => {
            to.u8(5);
            to.list("attribute names", names, XATTRS_BYTES_MAX, |to, name| {
                to.bytes("attribute name", name, XATTR_NAME_BYTES_MAX);
            });
        }
        Found::Totals(totals) => {
            to.u8(6);
            to.u64(totals.inodes);
            to.u64(totals.inodes_max);
        }
        Found::File(info) => {
            to.u8(7);
            put_attr(to, &info.attr);
            put_layout(to, &info.layout);
            to.u8(consistency_code(info.consistency));
            to.option(info.address.as_ref(), |to, address| to.u64(*address));
        }
    }
}

fn get_found(from: &mut Reader<'_>) -> Result<Found, DecodeError> {
    Ok(match from.u8()? {
        1 => Found::Attr(get_attr(from)?),
        2 => Found::Entries(from.list("entries", ENTRIES_MAX, |from| {
            Ok(Entry {
                cookie: from.u64()?,
                inode: get_inode(from)?,
                kind: kind_from(from.u8()?)?,
                name: from.bytes("name", NAME_BYTES_MAX)?.to_vec(),
            })
        })?),
        3 => Found::Target(from.bytes("target", TARGET_BYTES_MAX)?.to_vec()),
        4 => Found::Value(from.bytes("attribute value", XATTR_VALUE_BYTES_MAX)?.to_vec()),
        5 => Found::XattrNames(from.list("attribute names", XATTRS_BYTES_MAX, |from| {
            Ok(from.bytes("attribute name", XATTR_NAME_BYTES_MAX)?.to_vec())
        })?),
        6 => Found::Totals(Totals { inodes: from.u64()?, inodes_max: from.u64()? }),
        7 => Found::File(FileInfo {
            attr: get_attr(from)?,
            layout: get_layout(from)?,
            consistency: consistency_from(from.u8()?)?,
            address: from.option(Reader::u64)?,
        }),
        other => return Err(invalid("find", other)),
    })
}
