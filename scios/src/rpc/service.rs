//! What the layers above implement to be told: services for messages, listeners for everything else.
//!
//! All of it is called on the thread that received the event, holding no lock of this layer. It must not wait, and it may send,
//! call and answer.

use std::sync::Arc;

use super::codec::{DecodeError, Message, decode, decode_with_body};
use super::driver::Responder;
use super::error::CallError;
use super::frame::ErrorCode;
pub use super::session::Incoming;
use crate::verbs::{ConnectError, DownReason, OpError, OpId};
use crate::{Epoch, Nanos, NodeId};

/// Serves a range of message kinds.
pub trait Service: Send + Sync + 'static {
    /// A request. It is answered through the responder: at once, or later and from any thread.
    fn request(&self, peer: NodeId, message: Incoming<'_>, responder: Responder);

    /// A message that isn't answered.
    fn one_way(&self, peer: NodeId, message: Incoming<'_>);

    /// The answer to a request that was given to `request` interests nobody any more: it was cancelled, or its deadline
    /// has come. Its responder does nothing from now on.
    fn unwanted(&self, peer: NodeId, kind: u16, id: u64) {
        let _ = (peer, kind, id);
    }
}

/// Is told about connections, one-sided operations and time.
pub trait Listener: Send + Sync + 'static {
    fn up(&self, _peer: NodeId, _address: &str) {}
    /// Calls that this ends have ended already.
    fn down(&self, _peer: NodeId, _reason: &DownReason) {}
    fn connect_failed(&self, _address: &str, _reason: &ConnectError) {}
    fn done(&self, _peer: NodeId, _op: OpId, _result: Result<u64, OpError>) {}
    fn written(&self, _peer: NodeId, _imm: u32, _bytes: usize) {}
    fn writable(&self, _peer: NodeId) {}
    fn tick(&self, _now: Nanos) {}
    /// A one-way message that this node sent was not acted on: its epoch was not the peer's, or the peer was busy.
    fn one_way_refused(&self, _peer: NodeId, _kind: u16, _theirs: Epoch, _code: ErrorCode) {}
}

/// What a typed call ends in.
#[derive(Debug)]
pub struct Answer<'a, M> {
    pub message: M,
    /// The raw bytes behind the message, as they lie in the receive buffer.
    pub body: &'a [u8],
    /// The peer's view when it answered.
    pub epoch: Epoch,
}

/// Called once when a call ends.
pub type Completion = Box<dyn FnOnce(Result<Incoming<'_>, CallError>) + Send>;

impl Incoming<'_> {
    /// The message as its type, if it is of that kind and nothing follows it.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        self.check::<M>()?;
        decode(&self.payload)
    }

    /// The message as its type, and its body where it lies.
    pub fn decode_with_body<M: Message>(&self) -> Result<(M, &[u8]), DecodeError> {
        self.check::<M>()?;
        decode_with_body(&self.payload)
    }

    /// A peer doesn't decide what is fenced.
    fn check<M: Message>(&self) -> Result<(), DecodeError> {
        if self.kind != M::KIND {
            return Err(DecodeError::Kind { expected: M::KIND, got: self.kind });
        }
        if self.fenced != M::FENCED {
            return Err(DecodeError::Invalid { what: "fence", value: u64::from(self.fenced) });
        }
        Ok(())
    }
}

/// Who serves which kinds.
#[derive(Clone)]
pub(super) struct Registered {
    pub first: u16,
    pub last: u16,
    pub service: Arc<dyn Service>,
}
