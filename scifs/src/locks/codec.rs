//! Lock messages as bytes: one kind, the sender's epoch, a byte that says which body, its fields in order. Numbers are
//! little-endian; a list is its length (u32) and its items.

use scios::rpc::{DecodeError, Message as Wire, Reader, Writer};

use super::ids::{Kind, LocalOwner, Owner, Range, Space, Token, WaiterId};
use super::input::{Conflict, Refusal};
use super::limits::{LIST_ITEMS_MAX, MOVING_ITEMS_MAX};
use super::message::{
    Acquire, Ask, Body, Edge, HeldPart, HeldReport, Message, Seek, TableParts, Verdict, WaitingPart, Why,
};
use crate::coherence::{Epoch, MemberNo};

impl Wire for Message {
    const KIND: u16 = 288;
    /// The engine fences by its own epoch.
    const FENCED: bool = false;

    fn encode(&self, to: &mut Writer) {
        to.u64(self.epoch.0);
        put_body(to, &self.body);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { epoch: Epoch(from.u64()?), body: body(from)? })
    }
}

fn put_body(to: &mut Writer, body: &Body) {
    match body {
        Body::Ask { inode, ask } => {
            head(to, 0, *inode);
            put_ask(to, ask);
        }
        Body::Forward { inode, by, ask } => {
            head(to, 1, *inode);
            to.u32(by.0);
            put_ask(to, ask);
        }
        Body::Answer { token, verdict } => {
            head(to, 2, token.0);
            put_verdict(to, verdict);
        }
        Body::Table { inode, parts, granted } => {
            head(to, 3, *inode);
            put_parts(to, parts);
            to.list("granted requests", granted, MOVING_ITEMS_MAX, |to, token| to.u64(token.0));
        }
        Body::Moved { inode, to: member } => {
            head(to, 4, *inode);
            to.u32(member.0);
        }
        Body::Confirm { inode } => head(to, 5, *inode),
        Body::Seek(Seek { waiter, owner }) => {
            to.u8(6);
            put_waiter(to, *waiter);
            put_local(to, *owner);
        }
        Body::WhatWaits { search, owner, only } => {
            head(to, 7, *search);
            put_local(to, *owner);
            to.option(only.as_ref(), |to, token| to.u64(token.0));
        }
        Body::Waits { search, requests } => {
            head(to, 8, *search);
            to.u32(*requests);
        }
        Body::Edges { search, edges, last } => {
            head(to, 9, *search);
            to.list("edges", edges, LIST_ITEMS_MAX, put_edge);
            to.bool(*last);
        }
        Body::Doomed { search, token } => {
            head(to, 10, *search);
            to.u64(token.0);
        }
        Body::Over { search } => head(to, 11, *search),
        Body::Report { held, last } => {
            to.u8(12);
            to.list("reported locks", held, LIST_ITEMS_MAX, put_report);
            to.bool(*last);
        }
    }
}

fn body(from: &mut Reader<'_>) -> Result<Body, DecodeError> {
    Ok(match from.u8()? {
        0 => Body::Ask { inode: from.u64()?, ask: ask(from)? },
        1 => Body::Forward { inode: from.u64()?, by: member(from)?, ask: ask(from)? },
        2 => Body::Answer { token: token(from)?, verdict: verdict(from)? },
        3 => Body::Table {
            inode: from.u64()?,
            parts: parts(from)?,
            granted: from.list("granted requests", MOVING_ITEMS_MAX, token)?,
        },
        4 => Body::Moved { inode: from.u64()?, to: member(from)? },
        5 => Body::Confirm { inode: from.u64()? },
        6 => Body::Seek(Seek { waiter: waiter(from)?, owner: local(from)? }),
        7 => Body::WhatWaits { search: from.u64()?, owner: local(from)?, only: from.option(token)? },
        8 => Body::Waits { search: from.u64()?, requests: from.u32()? },
        9 => Body::Edges {
            search: from.u64()?,
            edges: from.list("edges", LIST_ITEMS_MAX, edge)?,
            last: from.bool()?,
        },
        10 => Body::Doomed { search: from.u64()?, token: token(from)? },
        11 => Body::Over { search: from.u64()? },
        12 => Body::Report { held: from.list("reported locks", LIST_ITEMS_MAX, report)?, last: from.bool()? },
        other => return Err(invalid("lock message", other)),
    })
}

fn put_ask(to: &mut Writer, ask: &Ask) {
    match ask {
        Ask::Acquire(acquire) => {
            to.u8(0);
            put_acquire(to, acquire);
        }
        Ask::Lower { owner, range, to: left, token } => {
            to.u8(1);
            put_local(to, *owner);
            put_range(to, *range);
            to.option(left.as_ref(), |to, kind| put_kind(to, *kind));
            to.u64(token.0);
        }
        Ask::Cancel { token } => head(to, 2, token.0),
        Ask::Test { owner, range, kind, token } => {
            to.u8(3);
            put_local(to, *owner);
            put_range(to, *range);
            put_kind(to, *kind);
            to.u64(token.0);
        }
        Ask::Sync { token } => head(to, 4, token.0),
        Ask::Edges { search, token } => {
            head(to, 5, *search);
            to.u64(token.0);
        }
        Ask::Jump { waiter } => {
            to.u8(6);
            put_waiter(to, *waiter);
        }
    }
}

fn ask(from: &mut Reader<'_>) -> Result<Ask, DecodeError> {
    Ok(match from.u8()? {
        0 => Ask::Acquire(acquire(from)?),
        1 => Ask::Lower {
            owner: local(from)?,
            range: range(from)?,
            to: from.option(kind)?,
            token: token(from)?,
        },
        2 => Ask::Cancel { token: token(from)? },
        3 => Ask::Test { owner: local(from)?, range: range(from)?, kind: kind(from)?, token: token(from)? },
        4 => Ask::Sync { token: token(from)? },
        5 => Ask::Edges { search: from.u64()?, token: token(from)? },
        6 => Ask::Jump { waiter: waiter(from)? },
        other => return Err(invalid("question to a lock table", other)),
    })
}

fn put_acquire(to: &mut Writer, acquire: &Acquire) {
    let Acquire { owner, pid, range, kind, wait, seek, since, token } = *acquire;
    put_local(to, owner);
    to.u32(pid);
    put_range(to, range);
    put_kind(to, kind);
    to.bool(wait);
    to.bool(seek);
    to.u64(since.0);
    to.u64(token.0);
}

fn acquire(from: &mut Reader<'_>) -> Result<Acquire, DecodeError> {
    Ok(Acquire {
        owner: local(from)?,
        pid: from.u32()?,
        range: range(from)?,
        kind: kind(from)?,
        wait: from.bool()?,
        seek: from.bool()?,
        since: Epoch(from.u64()?),
        token: token(from)?,
    })
}

fn put_verdict(to: &mut Writer, verdict: &Verdict) {
    match verdict {
        Verdict::Granted => to.u8(0),
        Verdict::Refused(Refusal::WouldBlock) => to.u8(1),
        Verdict::Refused(Refusal::Deadlock) => to.u8(2),
        Verdict::Refused(Refusal::Interrupted) => to.u8(3),
        Verdict::Refused(Refusal::TooMany) => to.u8(4),
        Verdict::Done => to.u8(5),
        Verdict::Cancelled => to.u8(6),
        Verdict::Tested(conflict) => {
            to.u8(7);
            to.option(conflict.as_ref(), |to, conflict| {
                put_kind(to, conflict.kind);
                put_range(to, conflict.range);
                to.u32(conflict.pid);
                to.u32(conflict.node.0);
            });
        }
    }
}

fn verdict(from: &mut Reader<'_>) -> Result<Verdict, DecodeError> {
    Ok(match from.u8()? {
        0 => Verdict::Granted,
        1 => Verdict::Refused(Refusal::WouldBlock),
        2 => Verdict::Refused(Refusal::Deadlock),
        3 => Verdict::Refused(Refusal::Interrupted),
        4 => Verdict::Refused(Refusal::TooMany),
        5 => Verdict::Done,
        6 => Verdict::Cancelled,
        7 => Verdict::Tested(from.option(|from| {
            Ok(Conflict { kind: kind(from)?, range: range(from)?, pid: from.u32()?, node: member(from)? })
        })?),
        other => return Err(invalid("answer of a lock table", other)),
    })
}

fn put_parts(to: &mut Writer, parts: &TableParts) {
    to.u64(parts.clock);
    to.list("held locks", &parts.held, MOVING_ITEMS_MAX, |to, held| {
        let HeldPart { owner, pid, since, range, kind } = *held;
        put_owner(to, owner);
        to.u32(pid);
        to.u64(since);
        put_range(to, range);
        put_kind(to, kind);
    });
    to.list("waiting requests", &parts.waiting, MOVING_ITEMS_MAX, |to, waiting| {
        let WaitingPart { node, place, jumps, acquire } = waiting;
        to.u32(node.0);
        to.u64(*place);
        to.bool(*jumps);
        put_acquire(to, acquire);
    });
}

fn parts(from: &mut Reader<'_>) -> Result<TableParts, DecodeError> {
    let clock = moment(from)?;
    let held = from.list("held locks", MOVING_ITEMS_MAX, |from| {
        let (owner, pid, since) = (owner(from)?, from.u32()?, moment(from)?);
        Ok(HeldPart { owner, pid, since, range: range(from)?, kind: kind(from)? })
    })?;
    let waiting = from.list("waiting requests", MOVING_ITEMS_MAX, |from| {
        let (node, place, jumps) = (member(from)?, moment(from)?, from.bool()?);
        Ok(WaitingPart { node, place, jumps, acquire: acquire(from)? })
    })?;
    Ok(TableParts { clock, held, waiting })
}

/// A moment of a table's clock, far from where it would overflow.
fn moment(from: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match from.u64()? {
        moment if moment >> 62 == 0 => Ok(moment),
        value => Err(DecodeError::Invalid { what: "moment of a lock table", value }),
    }
}

fn put_edge(to: &mut Writer, edge: &Edge) {
    to.u64(edge.inode);
    put_waiter(to, edge.waiter);
    put_owner(to, edge.from);
    put_owner(to, edge.to);
    match edge.why {
        Why::Holds { since } => head(to, 0, since),
        Why::WaitsBefore { place } => head(to, 1, place),
    }
}

fn edge(from: &mut Reader<'_>) -> Result<Edge, DecodeError> {
    let (inode, waiter, of, to) = (from.u64()?, waiter(from)?, owner(from)?, owner(from)?);
    let why = match from.u8()? {
        0 => Why::Holds { since: from.u64()? },
        1 => Why::WaitsBefore { place: from.u64()? },
        other => return Err(invalid("reason to wait", other)),
    };
    Ok(Edge { inode, waiter, from: of, to, why })
}

fn put_report(to: &mut Writer, report: &HeldReport) {
    let HeldReport { inode, owner, pid, range, kind } = *report;
    to.u64(inode);
    put_local(to, owner);
    to.u32(pid);
    put_range(to, range);
    put_kind(to, kind);
}

fn report(from: &mut Reader<'_>) -> Result<HeldReport, DecodeError> {
    let (inode, owner, pid) = (from.u64()?, local(from)?, from.u32()?);
    Ok(HeldReport { inode, owner, pid, range: range(from)?, kind: kind(from)? })
}

fn head(to: &mut Writer, tag: u8, first: u64) {
    to.u8(tag);
    to.u64(first);
}

fn put_local(to: &mut Writer, owner: LocalOwner) {
    to.u8(u8::from(owner.space == Space::Flock));
    to.u64(owner.id);
}

fn local(from: &mut Reader<'_>) -> Result<LocalOwner, DecodeError> {
    let space = match from.u8()? {
        0 => Space::Posix,
        1 => Space::Flock,
        other => return Err(invalid("space of locks", other)),
    };
    Ok(LocalOwner { space, id: from.u64()? })
}

fn put_owner(to: &mut Writer, owner: Owner) {
    to.u32(owner.node.0);
    put_local(to, owner.local);
}

fn owner(from: &mut Reader<'_>) -> Result<Owner, DecodeError> {
    Ok(Owner { node: member(from)?, local: local(from)? })
}

fn put_waiter(to: &mut Writer, waiter: WaiterId) {
    to.u32(waiter.node.0);
    to.u64(waiter.token.0);
}

fn waiter(from: &mut Reader<'_>) -> Result<WaiterId, DecodeError> {
    Ok(WaiterId { node: member(from)?, token: token(from)? })
}

fn put_range(to: &mut Writer, range: Range) {
    to.u64(range.start);
    to.u64(range.end);
}

fn range(from: &mut Reader<'_>) -> Result<Range, DecodeError> {
    let (start, end) = (from.u64()?, from.u64()?);
    if start > end {
        return Err(DecodeError::Invalid { what: "range (it ends before it starts)", value: end });
    }
    Ok(Range { start, end })
}

fn put_kind(to: &mut Writer, kind: Kind) {
    to.u8(u8::from(kind == Kind::Write));
}

fn kind(from: &mut Reader<'_>) -> Result<Kind, DecodeError> {
    match from.u8()? {
        0 => Ok(Kind::Read),
        1 => Ok(Kind::Write),
        other => Err(invalid("kind of lock", other)),
    }
}

fn member(from: &mut Reader<'_>) -> Result<MemberNo, DecodeError> {
    from.u32().map(MemberNo)
}

fn token(from: &mut Reader<'_>) -> Result<Token, DecodeError> {
    from.u64().map(Token)
}

fn invalid(what: &'static str, value: u8) -> DecodeError {
    DecodeError::Invalid { what, value: value.into() }
}

#[cfg(test)]
mod tests;
