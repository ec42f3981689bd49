//! Calling and telling peers: typed messages on top of bytes.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::Rpc;
use crate::NodeId;
use crate::limits::{RPC_DEADLINE_MAX_MS, RPC_SPARE_BYTES_MAX};
use crate::memory::RegionSlice;
use crate::rpc::codec::{DecodeError, Message, Request, Writer};
use crate::rpc::error::CallError;
use crate::rpc::service::{Answer, Completion, Incoming};
use crate::rpc::session::{CallSpec, Outgoing};

/// Names a call that is under way, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    pub peer: NodeId,
    pub id: u64,
}

impl Rpc {
    /// Asks a peer. `done` runs exactly once: on the thread that receives the answer or the tick that ends the call, or, if the
    /// call can't even begin, on this thread before `call` returns. So don't hold a lock that it takes.
    pub fn call<R: Request>(
        &self,
        peer: NodeId,
        request: &R,
        body: &[RegionSlice],
        deadline: Duration,
        done: impl FnOnce(Result<Answer<'_, R::Reply>, CallError>) + Send + 'static,
    ) -> CallId {
        let spec = CallSpec { kind: R::KIND, fenced: R::FENCED, idempotent: R::IDEMPOTENT, deadline };
        let done: Completion = Box::new(move |result| match result {
            Ok(message) => done(answer::<R::Reply>(&message).map_err(CallError::Answer)),
            Err(error) => done(Err(error)),
        });
        with_writer(|writer| {
            request.encode(writer);
            self.call_written(peer, &spec, writer, body, done)
        })
    }

    /// As `call`, with bytes that are a message already.
    pub fn call_bytes(
        &self,
        peer: NodeId,
        spec: &CallSpec,
        payload: &[u8],
        body: &[RegionSlice],
        done: Completion,
    ) -> CallId {
        with_writer(|writer| {
            writer.raw(payload);
            self.call_written(peer, spec, writer, body, done)
        })
    }

    /// As `call`, and waits for the answer. Never on a thread that receives or in simulated time: it would wait for itself.
    pub fn call_wait<R: Request>(
        &self,
        peer: NodeId,
        request: &R,
        body: &[RegionSlice],
        deadline: Duration,
    ) -> Result<R::Reply, CallError>
    where
        R::Reply: Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let id = self.call::<R>(peer, request, body, deadline, move |result| {
            // The receiver is gone only if the wait below has ended without the tick, and then nobody asks.
            let _ = sender.send(result.map(|answer| answer.message));
        });
        let wait = deadline.min(Duration::from_millis(RPC_DEADLINE_MAX_MS));
        receiver.recv_timeout(wait + WITHOUT_TICK).unwrap_or_else(|_| {
            self.cancel(id);
            Err(CallError::TimedOut { may_have_run: true })
        })
    }

    /// Gives up a call: its completion runs with `Cancelled` on this thread, unless it is over already.
    pub fn cancel(&self, call: CallId) {
        let Some(peer) = self.peer(call.peer) else { return };
        if let Some(ended) = peer.with(|session| session.cancel(call.id)) {
            peer.pump();
            (ended.token)(Err(ended.error));
        }
    }

    /// Tells a peer. It arrives once, in order, or not at all if the connection is lost or its epoch is refused.
    pub fn one_way<M: Message>(
        &self,
        peer: NodeId,
        message: &M,
        body: &[RegionSlice],
    ) -> Result<(), CallError> {
        with_writer(|writer| {
            message.encode(writer);
            self.one_way_written(peer, M::KIND, M::FENCED, writer, body)
        })
    }

    /// As `one_way`, with bytes that are a message already.
    pub fn one_way_bytes(
        &self,
        peer: NodeId,
        kind: u16,
        fenced: bool,
        payload: &[u8],
        body: &[RegionSlice],
    ) -> Result<(), CallError> {
        with_writer(|writer| {
            writer.raw(payload);
            self.one_way_written(peer, kind, fenced, writer, body)
        })
    }

    fn call_written(
        &self,
        peer: NodeId,
        spec: &CallSpec,
        message: &mut Writer,
        body: &[RegionSlice],
        done: Completion,
    ) -> CallId {
        let none = CallId { peer, id: 0 };
        let Some(to) = self.peer(peer) else {
            done(Err(CallError::PeerLost { may_have_run: false }));
            return none;
        };
        let now = self.fabric.now();
        match to.with(|session| session.call(now, spec, message, body, done)) {
            Ok((id, Outgoing::Direct)) => {
                // A call that isn't sent ends through its completion.
                let _ = to.send(message, body);
                CallId { peer, id }
            }
            Ok((id, Outgoing::Queued)) => {
                to.pump();
                CallId { peer, id }
            }
            Err(rejected) => {
                (rejected.token)(Err(rejected.error));
                none
            }
        }
    }

    fn one_way_written(
        &self,
        peer: NodeId,
        kind: u16,
        fenced: bool,
        message: &mut Writer,
        body: &[RegionSlice],
    ) -> Result<(), CallError> {
        let to: Arc<_> = self.peer(peer).ok_or(CallError::PeerLost { may_have_run: false })?;
        match to.with(|session| session.one_way(kind, fenced, message, body))? {
            Outgoing::Direct => to.send(message, body),
            Outgoing::Queued => {
                to.pump();
                Ok(())
            }
        }
    }
}

fn answer<'a, M: Message>(message: &'a Incoming<'_>) -> Result<Answer<'a, M>, DecodeError> {
    let (decoded, body) = message.decode_with_body()?;
    Ok(Answer { message: decoded, body, epoch: message.epoch })
}

/// How much later than its deadline a call may end when ticks are late, before its waiter gives up by itself.
const WITHOUT_TICK: Duration = Duration::from_secs(1);

thread_local! {
    /// The buffer of the last message of this thread.
    static WRITER: Cell<Option<Writer>> = const { Cell::new(None) };
}

/// Lends a buffer that is used again. What runs inside may borrow one too, and gets another.
pub(super) fn with_writer<T>(write: impl FnOnce(&mut Writer) -> T) -> T {
    let mut writer = WRITER.try_with(Cell::take).ok().flatten().unwrap_or_default();
    writer.clear();
    let result = write(&mut writer);
    if writer.capacity() <= RPC_SPARE_BYTES_MAX {
        // A thread that is ending has no place for it any more.
        let _ = WRITER.try_with(|kept| kept.set(Some(writer)));
    }
    result
}
