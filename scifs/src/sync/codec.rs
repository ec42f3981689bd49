//! Messages about waiting as bytes; `WIRE.md` shows them. One kind, the sender's epoch, a byte that says which body, its fields in
//! order. Numbers are little-endian; a list is its length (u32) and its items.

use scios::rpc::{DecodeError, Message as Wire, Reader, Writer};

use super::ids::{BarrierName, Key, Rank, Round, Token, WaiterId, Word};
use super::input::Refusal;
use super::limits::LIST_ITEMS_MAX;
use super::message::{Ask, Body, How, Message, OpenedReport, WaitingReport};
use crate::coherence::{Epoch, MemberNo};

impl Wire for Message {
    const KIND: u16 = 304;
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
        Body::Ask { key, ask } => {
            to.u8(0);
            put_key(to, key);
            put_ask(to, *ask);
        }
        Body::Joined { token, rank } => {
            head(to, 1, token.0);
            put_moment(to, rank.epoch, rank.number);
        }
        Body::Out { token, why } => {
            head(to, 2, token.0);
            to.option(why.as_ref(), |to, why| to.u8(refusal_number(*why)));
        }
        Body::Wake { tokens, how, confirm } => {
            to.u8(3);
            to.list("woken requests", tokens, LIST_ITEMS_MAX, |to, token| to.u64(token.0));
            to.bool(*how == How::Unsure);
            to.option(confirm.as_ref(), |to, decision| to.u64(*decision));
        }
        Body::Open { key, round, leader, parties, confirm, last } => {
            to.u8(4);
            put_round(to, key, *round, *leader, parties);
            to.option(confirm.as_ref(), |to, decision| to.u64(*decision));
            to.bool(*last);
        }
        Body::Heard { decision } => head(to, 5, *decision),
        Body::Notified { token, woken, settled } => {
            head(to, 6, token.0);
            to.u32(*woken);
            to.bool(*settled);
        }
        Body::NotifySettled { token } => head(to, 7, token.0),
        Body::RoundSettled { key, round } => {
            to.u8(8);
            put_key(to, key);
            put_moment(to, round.epoch, round.number);
        }
        Body::Asleep { token } => head(to, 10, token.0),
        Body::Report { waiting, opened, last } => {
            to.u8(9);
            to.list("reported waiters", waiting, LIST_ITEMS_MAX, put_waiting);
            to.list("reported rounds", opened, 1, |to, report| {
                put_round(to, &report.key, report.round, report.leader, &report.parties);
            });
            to.bool(*last);
        }
    }
}

fn body(from: &mut Reader<'_>) -> Result<Body, DecodeError> {
    Ok(match from.u8()? {
        0 => Body::Ask { key: key(from)?, ask: ask(from)? },
        1 => {
            let (token, (epoch, number)) = (token(from)?, moment(from)?);
            Body::Joined { token, rank: Rank { epoch, number } }
        }
        2 => Body::Out { token: token(from)?, why: from.option(refusal)? },
        3 => Body::Wake {
            tokens: from.list("woken requests", LIST_ITEMS_MAX, token)?,
            how: if from.bool()? { How::Unsure } else { How::Notified },
            confirm: from.option(Reader::u64)?,
        },
        4 => {
            let OpenedReport { key, round, leader, parties } = opened(from)?;
            let (confirm, last) = (from.option(Reader::u64)?, from.bool()?);
            Body::Open { key, round, leader, parties, confirm, last }
        }
        5 => Body::Heard { decision: from.u64()? },
        6 => Body::Notified { token: token(from)?, woken: from.u32()?, settled: from.bool()? },
        7 => Body::NotifySettled { token: token(from)? },
        8 => {
            let (key, (epoch, number)) = (key(from)?, moment(from)?);
            Body::RoundSettled { key, round: Round { epoch, number } }
        }
        9 => Body::Report {
            waiting: from.list("reported waiters", LIST_ITEMS_MAX, waiting)?,
            opened: from.list("reported rounds", 1, opened)?,
            last: from.bool()?,
        },
        10 => Body::Asleep { token: token(from)? },
        other => return Err(invalid("message about waiting", other)),
    })
}

fn put_ask(to: &mut Writer, ask: Ask) {
    match ask {
        Ask::Join { token, parties } => {
            head(to, 0, token.0);
            to.u32(parties);
        }
        Ask::Stay { token } => head(to, 1, token.0),
        Ask::Leave { token } => head(to, 2, token.0),
        Ask::Notify { token, count, again } => {
            head(to, 3, token.0);
            to.u32(count);
            to.bool(again);
        }
    }
}

fn ask(from: &mut Reader<'_>) -> Result<Ask, DecodeError> {
    Ok(match from.u8()? {
        0 => Ask::Join { token: token(from)?, parties: from.u32()? },
        1 => Ask::Stay { token: token(from)? },
        2 => Ask::Leave { token: token(from)? },
        3 => Ask::Notify { token: token(from)?, count: from.u32()?, again: from.bool()? },
        other => return Err(invalid("question to a keeper", other)),
    })
}

fn put_key(to: &mut Writer, key: &Key) {
    match key {
        Key::Word(Word { inode, offset }) => {
            head(to, 0, *inode);
            to.u64(*offset);
        }
        Key::Barrier(name) => {
            to.u8(1);
            to.raw(name.bytes());
        }
    }
}

fn key(from: &mut Reader<'_>) -> Result<Key, DecodeError> {
    Ok(match from.u8()? {
        0 => Key::Word(Word { inode: from.u64()?, offset: from.u64()? }),
        1 => {
            let name = BarrierName::new(from.array()?);
            Key::Barrier(name.ok_or(DecodeError::Invalid { what: "barrier's name", value: 0 })?)
        }
        other => return Err(invalid("place to wait at", other)),
    })
}

fn put_round(to: &mut Writer, key: &Key, round: Round, leader: WaiterId, parties: &[WaiterId]) {
    put_key(to, key);
    put_moment(to, round.epoch, round.number);
    put_waiter(to, &leader);
    to.list("parties", parties, LIST_ITEMS_MAX, put_waiter);
}

fn opened(from: &mut Reader<'_>) -> Result<OpenedReport, DecodeError> {
    let (key, (epoch, number)) = (key(from)?, moment(from)?);
    let (leader, parties) = (waiter(from)?, from.list("parties", LIST_ITEMS_MAX, waiter)?);
    Ok(OpenedReport { key, round: Round { epoch, number }, leader, parties })
}

fn put_waiting(to: &mut Writer, report: &WaitingReport) {
    put_key(to, &report.key);
    to.u64(report.token.0);
    to.u32(report.parties);
    to.option(report.rank.as_ref(), |to, rank| put_moment(to, rank.epoch, rank.number));
    to.bool(report.asleep);
}

fn waiting(from: &mut Reader<'_>) -> Result<WaitingReport, DecodeError> {
    let (key, token, parties) = (key(from)?, token(from)?, from.u32()?);
    let rank = from.option(|from| moment(from).map(|(epoch, number)| Rank { epoch, number }))?;
    Ok(WaitingReport { key, token, parties, rank, asleep: from.bool()? })
}

fn put_waiter(to: &mut Writer, waiter: &WaiterId) {
    to.u32(waiter.node.0);
    to.u64(waiter.token.0);
}

fn waiter(from: &mut Reader<'_>) -> Result<WaiterId, DecodeError> {
    Ok(WaiterId { node: MemberNo(from.u32()?), token: token(from)? })
}

fn put_moment(to: &mut Writer, epoch: Epoch, number: u64) {
    to.u64(epoch.0);
    to.u64(number);
}

fn moment(from: &mut Reader<'_>) -> Result<(Epoch, u64), DecodeError> {
    Ok((Epoch(from.u64()?), from.u64()?))
}

fn refusal_number(why: Refusal) -> u8 {
    match why {
        Refusal::Changed => 0,
        Refusal::TimedOut => 1,
        Refusal::Interrupted => 2,
        Refusal::Unreadable => 3,
        Refusal::Disagree => 4,
        Refusal::TooMany => 5,
    }
}

fn refusal(from: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    Ok(match from.u8()? {
        0 => Refusal::Changed,
        1 => Refusal::TimedOut,
        2 => Refusal::Interrupted,
        3 => Refusal::Unreadable,
        4 => Refusal::Disagree,
        5 => Refusal::TooMany,
        other => return Err(invalid("reason", other)),
    })
}

fn token(from: &mut Reader<'_>) -> Result<Token, DecodeError> {
    from.u64().map(Token)
}

fn head(to: &mut Writer, number: u8, value: u64) {
    to.u8(number);
    to.u64(value);
}

fn invalid(what: &'static str, value: u8) -> DecodeError {
    DecodeError::Invalid { what, value: value.into() }
}

#[cfg(test)]
mod tests;
