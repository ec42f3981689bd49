//! The receiver: the one thread that takes completions and calls the handler.
//!
//! It polls while there is something to do and for `spin_us` after that, then arms the completion queue and sleeps until a
//! completion, an input of another thread, the next tick or the end of a lease.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::credit::NO_MESSAGE;
use super::ffi::{Completion, CompletionKind, Outcome, ReceiveBuffer, VerbsError};
use super::lifecycle::How;
use super::link::{Done, Peer, parse_work_id};
use super::shared::Shared;
use crate::Nanos;
use crate::limits::{MESSAGE_BYTES_MAX, TICK_MS};
use crate::verbs::{DownReason, Event, Handler, OpError};

/// A message that found its buffer too small, in the numbers of `enum ibv_wc_status`.
const STATUS_LENGTH: u32 = 1;

pub(super) struct Receiver {
    pub(super) shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    /// Connections that are being made or ended, by number.
    pub(super) unsettled: BTreeSet<u32>,
    batch: VecDeque<Completion>,
    next_tick: Nanos,
    /// On a machine with one processor, spinning keeps away whoever is waited for.
    yields: bool,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, handler: Arc<dyn Handler>) -> Self {
        Self {
            shared,
            handler,
            unsettled: BTreeSet::new(),
            batch: VecDeque::new(),
            next_tick: Nanos::monotonic(),
            yields: std::thread::available_parallelism().is_ok_and(|count| count.get() == 1),
        }
    }

    pub(super) fn run(mut self) {
        let spin = Duration::from_micros(self.shared.config.spin_us);
        let mut last_work = Nanos::monotonic();
        while !self.shared.inbox.is_stopping() {
            let worked = self.work();
            let now = Nanos::monotonic();
            if worked {
                last_work = now;
            } else if now.since(last_work) < spin {
                if self.yields { std::thread::yield_now() } else { std::hint::spin_loop() }
            } else if let Err(error) = self.sleep() {
                tracing::error!(%error, "the RDMA fabric stops");
                self.shared.inbox.stop();
            }
        }
        self.close_all();
    }

    /// One round; whether there was anything to do.
    fn work(&mut self) -> bool {
        let mut worked = self.complete();
        if self.shared.inbox.has_news() {
            self.take_inputs();
            worked = true;
        }
        let now = Nanos::monotonic();
        if self.shared.grants.first_end() <= now {
            self.shared.end_leases(now);
        }
        if !self.unsettled.is_empty() {
            self.settle(now);
        }
        if now >= self.next_tick {
            self.next_tick = now + Duration::from_millis(TICK_MS);
            self.deliver(Event::Tick { now });
        }
        worked
    }

    /// Takes and delivers what has completed.
    pub(super) fn complete(&mut self) -> bool {
        if let Err(error) = self.shared.pump() {
            tracing::error!(%error, "the RDMA fabric stops");
            self.shared.inbox.stop();
        }
        self.shared.take_backlog(&mut self.batch);
        let worked = !self.batch.is_empty();
        let mut sent = false;
        while let Some(completion) = self.batch.pop_front() {
            match parse_work_id(completion.id) {
                Some((number, sequence)) => {
                    sent = true;
                    if let Some(peer) = self.shared.peer_by_number(number) {
                        self.sent(&peer, sequence, completion.outcome);
                    }
                }
                None => self.received(completion),
            }
        }
        if sent {
            self.serve_waiters();
        }
        worked
    }

    /// Work of ours has ended: tell whose it was, and post what waited for the room.
    fn sent(&mut self, peer: &Arc<Peer>, sequence: u64, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done(_) => Ok(()),
            Outcome::Denied => Err(OpError::Denied),
            Outcome::Flushed | Outcome::Failed(_) => Err(OpError::PeerLost),
        };
        let mut done = Done::new();
        let writable = {
            let mut link = peer.link.lock();
            link.retire(sequence, result, &mut done);
            self.shared.post_pending(peer, &mut link);
            self.shared.pay_credit(peer, &mut link);
            link.take_writable()
        };
        self.deliver_done(peer, done);
        match outcome {
            Outcome::Done(_) => {}
            Outcome::Denied => self.end(peer, DownReason::Denied, How::Denied),
            Outcome::Flushed => self.end(peer, DownReason::Lost("the queue pair failed".into()), How::Wait),
            Outcome::Failed(status) => {
                let what = self.shared.adapter.completions.status_name(status).to_owned();
                self.end(peer, DownReason::Lost(what), How::Wait);
            }
        }
        if writable {
            self.deliver(Event::Writable { peer: peer.id });
        }
    }

    pub(super) fn deliver(&self, event: Event<'_>) {
        if !self.shared.inbox.is_quiet() {
            self.handler.on_event(event);
        }
    }

    pub(super) fn deliver_done(&self, peer: &Peer, done: Done) {
        for (op, result) in done {
            self.deliver(Event::Done { peer: peer.id, op, result });
        }
    }

    /// Connections that waited for something that all share.
    fn serve_waiters(&self) {
        for number in self.shared.slots.take_waiters() {
            if let Some(peer) = self.shared.peer_by_number(number) {
                self.shared.post_pending(&peer, &mut peer.link.lock());
            }
        }
    }

    fn received(&mut self, completion: Completion) {
        let Some(buffer) = self.shared.adapter.receives.take(completion.id) else {
            tracing::error!(?completion, "a completion without its work");
            return;
        };
        let Some(peer) = self.shared.peer_by_queue_pair(completion.queue_pair) else { return };
        match completion.outcome {
            Outcome::Done(kind) => {
                if self.begin_if_ready(&peer) {
                    self.deliver_received(&peer, buffer, kind);
                }
            }
            // The other end of the queue pair says why.
            Outcome::Flushed => {}
            Outcome::Failed(STATUS_LENGTH) => {
                let what = format!("a message of more than {MESSAGE_BYTES_MAX} bytes");
                self.end(&peer, DownReason::Protocol(what), How::Now);
            }
            Outcome::Denied => self.end(&peer, DownReason::Protocol("bad message".into()), How::Now),
            Outcome::Failed(status) => {
                let what = self.shared.adapter.completions.status_name(status).to_owned();
                self.end(&peer, DownReason::Lost(what), How::Wait);
            }
        }
    }

    fn deliver_received(&mut self, peer: &Arc<Peer>, buffer: ReceiveBuffer, kind: CompletionKind) {
        let id = peer.id;
        match kind {
            CompletionKind::Received { imm, .. } if !self.hear(peer, imm) => {
                let what = "it claims to have handled what was not sent".into();
                return self.end(peer, DownReason::Protocol(what), How::Now);
            }
            CompletionKind::Received { imm, .. } if imm & NO_MESSAGE != 0 => return,
            CompletionKind::Received { bytes, .. } => {
                self.deliver(Event::Message { peer: id, bytes: buffer.bytes(bytes) });
            }
            CompletionKind::Written { bytes, imm } => self.deliver(Event::Written { peer: id, imm, bytes }),
            CompletionKind::Sent => return tracing::error!(peer = %id, "sent from a receive buffer"),
        }
        // The buffer first: whoever is told that it is free may fill it.
        drop(buffer);
        let mut link = peer.link.lock();
        link.credit.note_handled();
        self.shared.pay_credit(peer, &mut link);
    }

    /// Takes note of how much the peer has handled, and posts what waited for that. False if it can't be true.
    fn hear(&self, peer: &Peer, immediate: u32) -> bool {
        let mut link = peer.link.lock();
        let sound = link.credit.hear(immediate);
        if !link.pending.is_empty() {
            self.shared.post_pending(peer, &mut link);
        }
        sound
    }

    /// Sleeps until there is something to do; not at all if it came while the queue was being armed.
    fn sleep(&mut self) -> Result<(), VerbsError> {
        let completions = Arc::clone(&self.shared.adapter.completions);
        completions.arm()?;
        if self.shared.pump()? > 0 || self.shared.has_backlog() || self.shared.inbox.has_news() {
            return Ok(());
        }
        let until = self.next_tick.min(self.shared.grants.first_end());
        let left = until.since(Nanos::monotonic());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut files = [
            PollFd::new(completions.channel(), PollFlags::IN),
            PollFd::new(&*self.shared.inbox, PollFlags::IN),
        ];
        match rustix::event::poll(&mut files, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(VerbsError::Call { operation: "waiting", source: errno.into() }),
        }
        completions.take_wakeups();
        self.shared.inbox.take_wakeups();
        Ok(())
    }
}
