//! How messages of the coherence engine become bytes. The layout is in `WIRE.md`, and a change to it raises
//! `scios::verbs::PROTOCOL_VERSION`.

use scios::limits::PAGE_BYTES;
use scios::rpc::codec::{DecodeError, Message as Wire, Reader, Writer};

use crate::coherence::limits::{REPORT_ITEMS_MAX, RUN_PAGES_MAX};
use crate::coherence::{
    Body, Confirm, Data, Epoch, ExtentId, ExtentReport, Grant, HeldAs, MemberNo, Message, Mode, Order,
    PageId, PageReport, Report, SegmentId, Task,
};

#[cfg(test)]
mod tests;

/// Kinds of messages that are this folder's.
pub(super) const KINDS: std::ops::RangeInclusive<u16> = 256..=271;

impl Wire for Message {
    const KIND: u16 = 256;
    /// The engine fences by its own epoch.
    const FENCED: bool = false;
    const BODY_BYTES_MAX: usize = RUN_PAGES_MAX as usize * PAGE_BYTES;

    fn encode(&self, to: &mut Writer) {
        to.u64(self.epoch.0);
        put_page(to, self.page);
        to.u16(self.run);
        put_body(to, &self.body);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch(from.u64()?);
        let page = get_page(from)?;
        let run = from.u16()?;
        if !(1..=RUN_PAGES_MAX).contains(&run) {
            return Err(DecodeError::Invalid { what: "run of pages", value: u64::from(run) });
        }
        Ok(Self { epoch, page, run, body: get_body(from)? })
    }
}

/// Whether exactly the bytes of the message's pages follow it.
pub(super) fn check_body(message: &Message, body: &[u8]) -> Result<(), DecodeError> {
    let pages = if message.body.carries_pages() { usize::from(message.run) } else { 0 };
    if body.len() == pages * PAGE_BYTES {
        return Ok(());
    }
    Err(DecodeError::Invalid { what: "length of pages", value: body.len() as u64 })
}

fn put_page(to: &mut Writer, page: PageId) {
    to.u64(page.segment.0);
    to.u32(page.index);
}

fn get_page(from: &mut Reader<'_>) -> Result<PageId, DecodeError> {
    Ok(PageId { segment: SegmentId(from.u64()?), index: from.u32()? })
}

fn put_mode(to: &mut Writer, mode: Mode) {
    to.u8(match mode {
        Mode::Read => 0,
        Mode::Write => 1,
    });
}

fn get_mode(from: &mut Reader<'_>) -> Result<Mode, DecodeError> {
    pick("mode", from.u8()?, &[Mode::Read, Mode::Write])
}

/// The value whose number was sent.
fn pick<T: Copy>(what: &'static str, number: u8, values: &[T]) -> Result<T, DecodeError> {
    let invalid = DecodeError::Invalid { what, value: u64::from(number) };
    values.get(usize::from(number)).copied().ok_or(invalid)
}

fn put_body(to: &mut Writer, body: &Body) {
    match body {
        Body::Where => to.u8(0),
        Body::Here { home } => put_home(to, 1, *home),
        Body::Note { home } => put_home(to, 2, *home),
        Body::Noted => to.u8(3),
        Body::Get { mode, fresh } => {
            to.u8(4);
            put_mode(to, *mode);
            to.bool(*fresh);
        }
        Body::Order(order) => {
            to.u8(5);
            put_order(to, order);
        }
        Body::Grant(grant) => {
            to.u8(6);
            put_grant(to, grant);
        }
        Body::Refuse => to.u8(7),
        Body::Ack => to.u8(8),
        Body::Got => to.u8(9),
        Body::Done => to.u8(10),
        Body::Put => to.u8(11),
        Body::Report(report) => {
            to.u8(12);
            put_report(to, report);
        }
        Body::Settle { keep } => {
            to.u8(13);
            to.bool(*keep);
        }
        Body::Take => to.u8(14),
        Body::Farewell(report) => {
            to.u8(15);
            put_report(to, report);
        }
        Body::Heard => to.u8(16),
    }
}

fn get_body(from: &mut Reader<'_>) -> Result<Body, DecodeError> {
    Ok(match from.u8()? {
        0 => Body::Where,
        1 => Body::Here { home: MemberNo(from.u32()?) },
        2 => Body::Note { home: MemberNo(from.u32()?) },
        3 => Body::Noted,
        4 => Body::Get { mode: get_mode(from)?, fresh: from.bool()? },
        5 => Body::Order(get_order(from)?),
        6 => Body::Grant(get_grant(from)?),
        7 => Body::Refuse,
        8 => Body::Ack,
        9 => Body::Got,
        10 => Body::Done,
        11 => Body::Put,
        12 => Body::Report(get_report(from)?),
        13 => Body::Settle { keep: from.bool()? },
        14 => Body::Take,
        15 => Body::Farewell(get_report(from)?),
        16 => Body::Heard,
        other => return Err(DecodeError::Invalid { what: "coherence message", value: u64::from(other) }),
    })
}

fn put_home(to: &mut Writer, tag: u8, home: MemberNo) {
    to.u8(tag);
    to.u32(home.0);
}

fn put_order(to: &mut Writer, order: &Order) {
    to.u8(match order.task {
        Task::Lend => 0,
        Task::Cede => 1,
        Task::Invalidate => 2,
        Task::Expel => 3,
    });
    to.u32(order.to.0);
    to.u16(order.acks);
    to.u64(order.version);
}

fn get_order(from: &mut Reader<'_>) -> Result<Order, DecodeError> {
    Ok(Order {
        task: pick("task", from.u8()?, &[Task::Lend, Task::Cede, Task::Invalidate, Task::Expel])?,
        to: MemberNo(from.u32()?),
        acks: from.u16()?,
        version: from.u64()?,
    })
}

fn put_grant(to: &mut Writer, grant: &Grant) {
    put_mode(to, grant.mode);
    to.u8(match grant.data {
        Data::Kept => 0,
        Data::Zero => 1,
        Data::Carried => 2,
    });
    to.u16(grant.acks);
    to.u64(grant.version);
    to.u8(match grant.confirm {
        Confirm::Nobody => 0,
        Confirm::Giver => 1,
        Confirm::Home => 2,
    });
}

fn get_grant(from: &mut Reader<'_>) -> Result<Grant, DecodeError> {
    Ok(Grant {
        mode: get_mode(from)?,
        data: pick("kind of data", from.u8()?, &[Data::Kept, Data::Zero, Data::Carried])?,
        acks: from.u16()?,
        version: from.u64()?,
        confirm: pick("confirmation", from.u8()?, &[Confirm::Nobody, Confirm::Giver, Confirm::Home])?,
    })
}

fn put_report(to: &mut Writer, report: &Report) {
    to.bool(report.last);
    to.list("extents of a report", &report.extents, REPORT_ITEMS_MAX, |to, known| {
        to.u64(known.extent.segment.0);
        to.u32(known.extent.index);
        to.u32(known.home.0);
        to.bool(known.lost);
    });
    to.list("pages of a report", &report.pages, REPORT_ITEMS_MAX, |to, held| {
        put_page(to, held.page);
        to.u8(match held.held {
            HeldAs::Shared => 0,
            HeldAs::Exclusive => 1,
            HeldAs::Ceded { taker_lives: false } => 2,
            HeldAs::Ceded { taker_lives: true } => 3,
        });
        to.u64(held.version);
    });
}

const HELD_AS: [HeldAs; 4] = [
    HeldAs::Shared,
    HeldAs::Exclusive,
    HeldAs::Ceded { taker_lives: false },
    HeldAs::Ceded { taker_lives: true },
];

fn get_report(from: &mut Reader<'_>) -> Result<Report, DecodeError> {
    let last = from.bool()?;
    let extents = from.list("extents of a report", REPORT_ITEMS_MAX, |from| {
        let extent = ExtentId { segment: SegmentId(from.u64()?), index: from.u32()? };
        Ok(ExtentReport { extent, home: MemberNo(from.u32()?), lost: from.bool()? })
    })?;
    let pages = from.list("pages of a report", REPORT_ITEMS_MAX, |from| {
        let page = get_page(from)?;
        Ok(PageReport { page, held: pick("way of holding", from.u8()?, &HELD_AS)?, version: from.u64()? })
    })?;
    Ok(Report { extents, pages, last })
}
