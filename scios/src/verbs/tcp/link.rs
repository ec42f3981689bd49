//! One connection as its senders see it. Whoever sends does so on its own thread: one system call under the
//! connection's lock. Only what the kernel doesn't take is copied, into a bounded queue that the receiver flushes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};

use super::frame::{Bye, Header};
use super::ops::{Expect, Ops};
use super::queue::SendQueue;
use super::shared::Shared;
use crate::NodeId;
use crate::auth::Sealer;
use crate::limits::{
    HEADERS_IN_FLIGHT_BYTES_MAX, PLACED_BYTES_MAX, READ_BYTES_IN_FLIGHT_MAX, SEND_QUEUE_BYTES_MAX,
};
use crate::memory::{RegionSlice, send_gather};
use crate::verbs::{OpId, SendError};

/// What may wait when this node answers its peer's requests: a peer that keeps to its own limits never gets there.
const ANSWERS_BYTES_MAX: usize =
    SEND_QUEUE_BYTES_MAX + PLACED_BYTES_MAX + READ_BYTES_IN_FLIGHT_MAX + HEADERS_IN_FLIGHT_BYTES_MAX;

/// Buffers that one long frame has grown beyond this are not kept.
const SCRATCH_KEPT_BYTES: usize = 128 << 10;

/// What has to come before a page in its frame, for the reason that is given at `Header::encode_padded`.
const LEAD_BYTES_MIN: usize = 64;

/// Frames without slices up to this length are copied together before they are sent.
const SHORT_FRAME_BYTES: usize = 256;

/// The parts of one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) head: &'a [u8],
    pub(super) body: &'a [RegionSlice],
}

impl Parts<'_> {
    pub(super) const NONE: Self = Self { head: &[], body: &[] };

    fn bytes(&self) -> usize {
        self.head.len() + body_bytes(self.body)
    }
}

pub(super) fn body_bytes(body: &[RegionSlice]) -> usize {
    body.iter().fold(0, |sum, slice| sum.saturating_add(slice.bytes()))
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: NodeId,
    pub(super) token: u64,
    socket: Arc<OwnedFd>,
    shared: Arc<Shared>,
    outbox: Mutex<Outbox>,
    ops: Mutex<Ops>,
    /// Something was sent, or received, since the last look; for liveness.
    sent: AtomicBool,
    heard: AtomicBool,
    /// It is being closed here: what still arrives is thrown away.
    ending: AtomicBool,
    /// Held by the thread that calls the handler about this peer, where more than one could.
    delivery: Mutex<()>,
}

#[derive(Debug, Default)]
struct Outbox {
    queue: SendQueue,
    sealer: Option<Sealer>,
    /// Scratch of encrypted connections: a frame in one piece, and its records.
    plain: Vec<u8>,
    sealed: Vec<u8>,
    /// Its receiver does without the poller, which hears of this socket only while bytes wait to be sent.
    unpolled: bool,
    /// Nothing new goes out.
    closed: bool,
    /// The other side is told that nothing more comes, once the queue is empty.
    finish: bool,
    broken: Option<Errno>,
    /// Somebody was told `Full` and waits for `Writable`.
    starved: bool,
}

impl Link {
    pub(super) fn new(
        peer: NodeId,
        token: u64,
        socket: Arc<OwnedFd>,
        shared: Arc<Shared>,
        sealer: Option<Sealer>,
    ) -> Self {
        let outbox = Mutex::new(Outbox { sealer, ..Outbox::default() });
        Self {
            peer,
            token,
            socket,
            shared,
            outbox,
            ops: Mutex::default(),
            sent: AtomicBool::new(true),
            heard: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            delivery: Mutex::default(),
        }
    }

    /// Sends a frame of which no answer is awaited.
    pub(super) fn send(&self, header: &Header, parts: Parts<'_>) -> Result<(), SendError> {
        let mut outbox = self.admit(parts.bytes())?;
        self.transmit(&mut outbox, header, parts);
        Ok(())
    }

    /// Begins an operation that the peer answers.
    pub(super) fn request(
        &self,
        op: OpId,
        expect: Expect,
        parts: Parts<'_>,
        header: impl FnOnce(u32) -> Header,
    ) -> Result<(), SendError> {
        let mut outbox = self.admit(parts.bytes())?;
        // Noted before anything is sent: the answer may come before `transmit` returns. Under the outbox's lock, so
        // that the order of operations is the order of frames.
        let tag = self.ops.lock().begin(op, expect).ok_or(SendError::Full)?;
        self.transmit(&mut outbox, &header(tag), parts);
        Ok(())
    }

    /// Sends a `Place`. It is done as soon as it is sent, and the receiving thread has to say so. True when that
    /// thread must be told: it doesn't know of earlier ones.
    pub(super) fn place(&self, op: OpId, header: &Header, parts: Parts<'_>) -> Result<bool, SendError> {
        let mut outbox = self.admit(parts.bytes())?;
        let first = self.ops.lock().begin_place(op).ok_or(SendError::Full)?;
        self.transmit(&mut outbox, header, parts);
        Ok(first)
    }

    /// Answers a request of the peer. False when the peer lets more answers wait than it may ask for.
    pub(super) fn answer(&self, header: &Header, body: &[RegionSlice]) -> bool {
        let mut outbox = self.outbox.lock();
        if outbox.queue.bytes() > ANSWERS_BYTES_MAX {
            return false;
        }
        self.transmit(&mut outbox, header, Parts { head: &[], body });
        true
    }

    /// Makes this side heard, unless bytes are waiting to be sent anyway.
    pub(super) fn ping(&self) {
        let mut outbox = self.outbox.lock();
        if outbox.queue.is_empty() {
            // Nothing was sent for a while, so it is idle.
            outbox.queue.shrink();
            self.transmit(&mut outbox, &Header::Ping, Parts::NONE);
        }
    }

    fn admit(&self, bytes: usize) -> Result<MutexGuard<'_, Outbox>, SendError> {
        let mut outbox = self.outbox.lock();
        if outbox.closed || outbox.broken.is_some() {
            return Err(SendError::NotConnected(self.peer));
        }
        if !outbox.queue.is_empty() && outbox.queue.bytes() + bytes > SEND_QUEUE_BYTES_MAX {
            outbox.starved = true;
            return Err(SendError::Full);
        }
        Ok(outbox)
    }

    fn transmit(&self, outbox: &mut Outbox, frame: &Header, parts: Parts<'_>) {
        let mut header = frame.encode();
        let lead_bytes = header.bytes().len() + parts.head.len();
        if !parts.body.is_empty() && lead_bytes < LEAD_BYTES_MIN {
            header = frame.encode_padded(LEAD_BYTES_MIN - lead_bytes);
        }
        let heads = [header.bytes(), parts.head];
        if outbox.sealer.is_some() {
            self.transmit_sealed(outbox, heads, parts.body);
        } else {
            self.transmit_plain(outbox, heads, parts.body);
        }
        note(&self.sent);
    }

    fn transmit_plain(&self, outbox: &mut Outbox, heads: [&[u8]; 2], body: &[RegionSlice]) {
        let [first, second] = heads;
        let bytes = first.len() + second.len() + body_bytes(body);
        if !outbox.queue.is_empty() {
            outbox.queue.push_frame(heads, body, 0);
            return;
        }
        match self.hand_over(outbox, heads, body) {
            Some(taken) if taken < bytes => {
                outbox.queue.push_frame(heads, body, taken);
                self.watch(outbox, true);
            }
            _ => {}
        }
    }

    /// Gives bytes to the kernel; how many it took, `None` when the connection is broken.
    fn hand_over(&self, outbox: &mut Outbox, heads: [&[u8]; 2], body: &[RegionSlice]) -> Option<usize> {
        if outbox.broken.is_some() {
            return None;
        }
        loop {
            match self.send_once(heads, body) {
                Ok(taken) => return Some(taken),
                Err(Errno::AGAIN) => return Some(0),
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.break_off(outbox, error);
                    return None;
                }
            }
        }
    }

    /// One system call. A short frame without slices is put together first: the kernel takes one piece faster.
    fn send_once(&self, heads: [&[u8]; 2], body: &[RegionSlice]) -> Result<usize, Errno> {
        let [first, second] = heads;
        let mut short = [0u8; SHORT_FRAME_BYTES];
        let bytes = first.len() + second.len();
        if body.is_empty()
            && let Some((a, b)) =
                short.get_mut(..bytes).and_then(|whole| whole.split_at_mut_checked(first.len()))
        {
            a.copy_from_slice(first);
            b.copy_from_slice(second);
            let whole = short.get(..bytes).unwrap_or_default();
            return rustix::net::send(&*self.socket, whole, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
        send_gather(self.socket.as_fd(), heads, body)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    fn transmit_sealed(&self, outbox: &mut Outbox, heads: [&[u8]; 2], body: &[RegionSlice]) {
        let Outbox { plain, sealed, sealer, .. } = outbox;
        plain.clear();
        sealed.clear();
        for head in heads {
            plain.extend_from_slice(head);
        }
        for slice in body {
            let start = plain.len();
            plain.resize(start + slice.bytes(), 0);
            if let Some(into) = plain.get_mut(start..) {
                // As long as the slice.
                let _ = slice.read_to(into);
            }
        }
        let Some(sealer) = sealer else { return };
        if let Err(error) = sealer.seal(plain, sealed) {
            tracing::error!(peer = %self.peer, %error, "cannot encrypt; closing the connection");
            self.break_off(outbox, Errno::IO);
            return;
        }
        let sealed = std::mem::take(&mut outbox.sealed);
        self.transmit_plain(outbox, [&sealed, &[]], &[]);
        outbox.sealed = sealed;
        outbox.plain.shrink_to(SCRATCH_KEPT_BYTES);
        outbox.sealed.shrink_to(SCRATCH_KEPT_BYTES);
    }

    /// The receiver will find the end of the stream and take the connection down.
    fn break_off(&self, outbox: &mut Outbox, why: Errno) {
        outbox.broken = Some(why);
        outbox.queue.clear();
        // Fails only when the connection is gone already.
        let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
    }

    /// Has the receiver flush the queue as soon as the kernel takes more, or no longer.
    fn watch(&self, outbox: &Outbox, writable: bool) {
        let poller = &self.shared.poller;
        let outcome = match (outbox.unpolled, writable) {
            (false, writable) => poller.watch_writable(&*self.socket, self.token, writable),
            (true, true) => poller.add_writable_only(&*self.socket, self.token),
            (true, false) => poller.remove(&*self.socket),
        };
        if let Err(error) = outcome {
            tracing::error!(peer = %self.peer, %error, "epoll_ctl failed");
        }
    }

    /// Receiver: hands receiving over to a lane, or takes it back.
    pub(super) fn set_lane(&self, lane: bool) -> Result<(), Errno> {
        rustix::io::ioctl_fionbio(&*self.socket, !lane)?;
        self.set_unpolled(lane)
    }

    /// Receiver: whether what arrives is found without the poller.
    pub(super) fn set_unpolled(&self, unpolled: bool) -> Result<(), Errno> {
        let mut outbox = self.outbox.lock();
        if outbox.unpolled == unpolled {
            return Ok(());
        }
        let waiting = !outbox.queue.is_empty();
        let poller = &self.shared.poller;
        if unpolled || waiting {
            poller.remove(&*self.socket)?;
        }
        match (unpolled, waiting) {
            (true, true) => poller.add_writable_only(&*self.socket, self.token)?,
            (true, false) => {}
            (false, waiting) => poller.add(&*self.socket, self.token, waiting)?,
        }
        outbox.unpolled = unpolled;
        Ok(())
    }

    /// Receiver: the kernel takes bytes again. True when senders that were told `Full` may go on; there may be more to
    /// flush then, and the poller will say so.
    pub(super) fn flush(&self) -> bool {
        let mut outbox = self.outbox.lock();
        while let Some(chunk) = outbox.queue.take_front() {
            // Sent without the lock: the chunk still counts as waiting, so senders queue behind it meanwhile.
            drop(outbox);
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let sent = rustix::net::send(&*self.socket, chunk.rest(), flags);
            outbox = self.outbox.lock();
            match sent {
                Ok(taken) => {
                    let all = taken == chunk.rest().len();
                    outbox.queue.put_back(chunk, taken);
                    if relieved(&mut outbox) {
                        return true;
                    }
                    if !all {
                        return false;
                    }
                }
                Err(Errno::INTR) => outbox.queue.put_back(chunk, 0),
                Err(Errno::AGAIN) => {
                    outbox.queue.put_back(chunk, 0);
                    return relieved(&mut outbox);
                }
                Err(error) => {
                    self.break_off(&mut outbox, error);
                }
            }
        }
        self.watch(&outbox, false);
        if outbox.finish {
            let _ = rustix::net::shutdown(&*self.socket, Shutdown::Write);
        }
        relieved(&mut outbox)
    }

    /// Receiver: ends sending, with a goodbye unless the connection is broken. Operations under way stay to be
    /// abandoned.
    pub(super) fn close(&self, bye: Option<Bye>) {
        let mut outbox = self.outbox.lock();
        if let Some(bye) = bye
            && !outbox.closed
        {
            self.transmit(&mut outbox, &Header::Bye(bye), Parts::NONE);
            outbox.finish = true;
            if outbox.queue.is_empty() {
                let _ = rustix::net::shutdown(&*self.socket, Shutdown::Write);
            }
        }
        outbox.closed = true;
    }

    pub(super) fn ops(&self) -> MutexGuard<'_, Ops> {
        self.ops.lock()
    }

    /// Whether anything was sent since this was asked last.
    pub(super) fn take_sent(&self) -> bool {
        take(&self.sent)
    }

    pub(super) fn note_heard(&self) {
        note(&self.heard);
    }

    /// Whether anything was received since this was asked last.
    pub(super) fn take_heard(&self) -> bool {
        take(&self.heard)
    }

    /// Receiver: whatever a lane still receives is to be thrown away.
    pub(super) fn set_ending(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Receiver: wakes a lane that waits for bytes. Nothing of the peer is read any more.
    pub(super) fn abort(&self) {
        self.set_ending();
        // Fails only when the connection is gone, and then nobody waits.
        let _ = rustix::net::shutdown(&*self.socket, Shutdown::Both);
    }

    /// To be held while the handler is called about this peer.
    pub(super) fn delivery(&self) -> MutexGuard<'_, ()> {
        self.delivery.lock()
    }

    pub(super) fn broken(&self) -> Option<Errno> {
        self.outbox.lock().broken
    }
}

/// Sets a flag that is mostly set already, without taking its cache line away from others each time.
fn note(flag: &AtomicBool) {
    if !flag.load(Ordering::Relaxed) {
        flag.store(true, Ordering::Relaxed);
    }
}

fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
}

fn relieved(outbox: &mut Outbox) -> bool {
    let relieved = outbox.starved && outbox.queue.bytes() <= SEND_QUEUE_BYTES_MAX / 2;
    if relieved {
        outbox.starved = false;
    }
    relieved
}
