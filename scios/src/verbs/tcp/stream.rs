//! The receiving side of one connection that is up: bytes from the socket become frames, frames become events and
//! answers, all on the receiving thread. Payloads go to where they belong without a stop where that is possible.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::fill::{Fill, Then};
use super::frame::{Bye, FrameError, Header, Target};
use super::grants::Need;
use super::inbox::{Frame, Inbox};
use super::link::Link;
use super::ops::Expect;
use super::sealed::SealedInbox;
use super::shared::Shared;
use crate::Nanos;
use crate::auth::{Opener, RecordError};
use crate::memory::{RegionSlice, recv_into};
use crate::verbs::{DownReason, Event, Handler, OpError};

/// Why a connection that was up ends.
#[derive(Debug)]
pub(super) enum End {
    /// It was the peer who said so.
    Bye(Bye),
    Lost(String),
    /// The peer did what it must not: it is told which of the two.
    Offence(Bye, String),
    Here(DownReason),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Offence(Bye::Protocol, error.to_string())
    }
}

impl From<RecordError> for End {
    fn from(error: RecordError) -> Self {
        Self::Offence(Bye::Protocol, error.to_string())
    }
}

/// What frames act on.
pub(super) struct Context<'a> {
    pub(super) shared: &'a Shared,
    pub(super) handler: &'a dyn Handler,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) link: Arc<Link>,
    /// `receive` waits for bytes: a lane of its own does it.
    pub(super) waits: bool,
    socket: Arc<OwnedFd>,
    inbox: Inbox,
    sealed: Option<SealedInbox>,
    fill: Option<Fill>,
}

impl Stream {
    pub(super) fn new(link: Arc<Link>, socket: Arc<OwnedFd>, opener: Option<Opener>) -> Self {
        let sealed = opener.map(SealedInbox::new);
        Self { link, waits: false, socket, inbox: Inbox::default(), sealed, fill: None }
    }

    /// Takes bytes that came together with the end of the handshake.
    pub(super) fn first_bytes(&mut self, bytes: &[u8], cx: &Context<'_>) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.sealed {
                Some(sealed) => sealed.put(rest),
                None => self.inbox.put(rest),
            };
            rest = rest.get(taken..).unwrap_or_default();
            self.deliver_all(cx)?;
        }
        Ok(())
    }

    /// One receive, and everything that came of it. False when there was nothing to receive.
    #[inline(always)]
    pub(super) fn receive(&mut self, cx: &Context<'_>) -> Result<bool, End> {
        match self.receive_bytes() {
            Ok(0) => Err(End::Lost("the peer closed it without a goodbye".into())),
            Ok(_) => {
                self.link.note_heard();
                if !self.waits {
                    self.deliver_all(cx)?;
                } else if !self.link.is_ending() {
                    let link = Arc::clone(&self.link);
                    let _delivery = link.delivery();
                    self.deliver_all(cx)?;
                }
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(End::Lost(self.link.broken().unwrap_or(error).to_string())),
        }
    }

    #[inline(always)]
    fn receive_bytes(&mut self) -> Result<usize, Errno> {
        let flags = if self.waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        if let Some(sealed) = &mut self.sealed {
            let got = rustix::net::recv(&*self.socket, sealed.spare(), flags)?.0;
            sealed.filled(got);
            return Ok(got);
        }
        // The rest of a payload goes straight to where it belongs, what follows it into the buffer.
        if let Some(target) = self.direct_target() {
            let left = target.bytes();
            let got = recv_into(self.socket.as_fd(), &target, self.inbox.spare(), self.waits)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            let placed = got.min(left);
            self.inbox.payload_received(placed);
            self.inbox.filled(got - placed);
            if let Some(fill) = &mut self.fill {
                fill.placed(placed);
            }
            return Ok(got);
        }
        let got = rustix::net::recv(&*self.socket, self.inbox.spare(), flags)?.0;
        self.inbox.filled(got);
        Ok(got)
    }

    /// Lane of a connection that is closed here: reads to the end, so that the peer gets to see our goodbye.
    pub(super) fn discard(&mut self) {
        loop {
            match rustix::net::recv(&*self.socket, self.inbox.spare(), RecvFlags::empty()) {
                Ok((got, _)) if got > 0 => {}
                Err(Errno::INTR) => {}
                _ => return,
            }
        }
    }

    fn direct_target(&self) -> Option<RegionSlice> {
        if !self.inbox.is_empty() {
            return None;
        }
        self.fill.as_ref()?.rest()
    }

    fn deliver_all(&mut self, cx: &Context<'_>) -> Result<(), End> {
        loop {
            let opened = match &mut self.sealed {
                Some(sealed) => sealed.open_into(&mut self.inbox)?,
                None => false,
            };
            self.deliver(cx)?;
            if !opened {
                return Ok(());
            }
        }
    }

    fn deliver(&mut self, cx: &Context<'_>) -> Result<(), End> {
        let Self { link, inbox, fill, .. } = self;
        let peer = link.peer;
        finish_if_full(fill, link, cx)?;
        while let Some(frame) = inbox.next_frame()? {
            match frame {
                Frame::Message(bytes) => cx.handler.on_event(Event::Message { peer, bytes }),
                Frame::Begin { header, head, .. } => {
                    *fill = Some(begin(&header, head, link, cx)?);
                    finish_if_full(fill, link, cx)?;
                }
                Frame::Payload(bytes) => {
                    if let Some(fill) = fill {
                        fill.write(bytes);
                    }
                    finish_if_full(fill, link, cx)?;
                }
                Frame::Control(header) => control(&header, link, cx)?,
            }
        }
        // A grant can end while its payload is still coming in: from here on the rest goes nowhere.
        if let Some(Fill { granted: Some((target, bytes)), .. }) = fill {
            reach(*target, *bytes, Need::Write, link, cx).map(drop)?;
        }
        Ok(())
    }
}

/// A frame with a payload: finds where that goes.
fn begin(header: &Header, head: &[u8], link: &Link, cx: &Context<'_>) -> Result<Fill, End> {
    let (target, bytes, then) = match *header {
        Header::Write { tag, target, bytes } => (target, bytes, Then::Acknowledge { tag, imm: None }),
        Header::WriteImm { tag, target, bytes, imm } => {
            (target, bytes, Then::Acknowledge { tag, imm: Some(imm) })
        }
        Header::Place { target, bytes, .. } => (target, bytes, Then::Message(head.into())),
        Header::Data { tag, bytes } => {
            let into = link.ops().data_target(tag, bytes as usize).ok_or_else(unasked)?;
            return Ok(Fill::new(into, None, Then::Done { tag }));
        }
        _ => return Err(End::Offence(Bye::Protocol, "a frame has a payload that it cannot have".into())),
    };
    let bytes = bytes as usize;
    let tag = if let Then::Acknowledge { tag, .. } = then { Some(tag) } else { None };
    let slice = reach(target, bytes, Need::Write, link, cx).inspect_err(|_| {
        if let Some(tag) = tag {
            link.answer(&Header::Done { tag, denied: true, value: 0 }, &[]);
        }
    })?;
    Ok(Fill::new(slice, Some((target, bytes)), then))
}

fn unasked() -> End {
    End::Offence(Bye::Protocol, "it answers an operation that was not asked of it".into())
}

fn reach(
    target: Target,
    bytes: usize,
    need: Need,
    link: &Link,
    cx: &Context<'_>,
) -> Result<RegionSlice, End> {
    let now = Nanos::monotonic();
    cx.shared.grants.lock().reach(link.peer, target, bytes, need, now).ok_or_else(|| {
        let what = format!("it reached for {bytes} bytes of memory that it was not granted ({need:?})");
        End::Offence(Bye::Denied, what)
    })
}

fn finish_if_full(fill: &mut Option<Fill>, link: &Link, cx: &Context<'_>) -> Result<(), End> {
    let Some(full) = fill.take_if(|fill| fill.is_full()) else { return Ok(()) };
    let (peer, bytes) = (link.peer, full.bytes());
    match full.then {
        Then::Message(head) => cx.handler.on_event(Event::Message { peer, bytes: &head }),
        Then::Acknowledge { tag, imm } => {
            // The requester waits for this, the handler's work can come after.
            answer(link, &Header::Done { tag, denied: false, value: 0 }, &[])?;
            if let Some(imm) = imm {
                cx.handler.on_event(Event::Written { peer, imm, bytes });
            }
        }
        Then::Done { tag } => end_operation(tag, Answer::Data, link, cx)?,
    }
    Ok(())
}

/// A frame without a payload.
fn control(header: &Header, link: &Link, cx: &Context<'_>) -> Result<(), End> {
    match *header {
        Header::Ping => Ok(()),
        Header::Bye(why) => Err(End::Bye(why)),
        Header::Read { tag, target, bytes } => {
            let slice = granted(tag, target, bytes as usize, Need::Read, link, cx)?;
            answer(link, &Header::Data { tag, bytes }, &[slice])
        }
        Header::CompareAndSwap { tag, target, expected, new } => {
            use std::sync::atomic::Ordering::SeqCst;
            let slice = granted(tag, target, 8, Need::Atomic, link, cx)?;
            let word = slice.atomic().map_err(|_| deny(tag, link, "an atomic isn't aligned".into()))?;
            let (Ok(value) | Err(value)) = word.compare_exchange(expected, new, SeqCst, SeqCst);
            answer(link, &Header::Done { tag, denied: false, value }, &[])
        }
        Header::FetchAdd { tag, target, add } => {
            let slice = granted(tag, target, 8, Need::Atomic, link, cx)?;
            let word = slice.atomic().map_err(|_| deny(tag, link, "an atomic isn't aligned".into()))?;
            let value = word.fetch_add(add, std::sync::atomic::Ordering::SeqCst);
            answer(link, &Header::Done { tag, denied: false, value }, &[])
        }
        Header::Done { tag, denied, value } => {
            let answer = if denied { Answer::Denied } else { Answer::Value(value) };
            end_operation(tag, answer, link, cx)
        }
        _ => Err(End::Offence(Bye::Protocol, "a frame lacks the payload that it must have".into())),
    }
}

/// The memory of an operation; where it is denied, the requester is told which one it was.
fn granted(
    tag: u32,
    target: Target,
    bytes: usize,
    need: Need,
    link: &Link,
    cx: &Context<'_>,
) -> Result<RegionSlice, End> {
    reach(target, bytes, need, link, cx).inspect_err(|_| {
        link.answer(&Header::Done { tag, denied: true, value: 0 }, &[]);
    })
}

fn deny(tag: u32, link: &Link, what: String) -> End {
    link.answer(&Header::Done { tag, denied: true, value: 0 }, &[]);
    End::Offence(Bye::Denied, what)
}

fn answer(link: &Link, header: &Header, body: &[RegionSlice]) -> Result<(), End> {
    if link.answer(header, body) {
        return Ok(());
    }
    Err(End::Offence(Bye::Protocol, "it asks for more than it takes".into()))
}

/// How the peer answered an operation of this node.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Data,
    Value(u64),
    Denied,
}

fn end_operation(tag: u32, answer: Answer, link: &Link, cx: &Context<'_>) -> Result<(), End> {
    let ((op, expect), relieved) = {
        let mut ops = link.ops();
        (ops.end(tag).ok_or_else(unasked)?, ops.relieved())
    };
    let peer = link.peer;
    let result = match (answer, expect) {
        (Answer::Denied, _) => Err(OpError::Denied),
        (Answer::Data, _) => Ok(0),
        (Answer::Value(value), Expect::Done) => Ok(value),
        (Answer::Value(_), Expect::Data(_)) => {
            cx.handler.on_event(Event::Done { peer, op, result: Err(OpError::PeerLost) });
            return Err(unasked());
        }
    };
    cx.handler.on_event(Event::Done { peer, op, result });
    if relieved {
        cx.handler.on_event(Event::Writable { peer });
    }
    Ok(())
}

/// Tells the handler of `Place`s whose bytes have left.
pub(super) fn report_placed(link: &Link, cx: &Context<'_>) {
    let peer = link.peer;
    let (placed, relieved) = {
        let mut ops = link.ops();
        (ops.take_placed(), ops.relieved())
    };
    for op in placed {
        cx.handler.on_event(Event::Done { peer, op, result: Ok(0) });
    }
    if relieved {
        cx.handler.on_event(Event::Writable { peer });
    }
}
