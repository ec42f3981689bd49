//! The right to answer one request, once.

use std::sync::Arc;

use super::call::with_writer;
use super::peer::Peer;
use crate::NodeId;
use crate::memory::RegionSlice;
use crate::rpc::codec::{Message, Writer};
use crate::rpc::error::CallError;
use crate::rpc::frame::ErrorCode;
use crate::rpc::session::Outgoing;

/// Answers at once or later, from any thread. Dropped without an answer, it tells the caller so.
#[derive(Debug)]
#[must_use = "a request is answered through it"]
pub struct Responder {
    peer: Arc<Peer>,
    id: u64,
    kind: u16,
    answered: bool,
}

impl Responder {
    pub(super) fn new(peer: Arc<Peer>, id: u64, kind: u16) -> Self {
        Self { peer, id, kind, answered: false }
    }

    pub fn peer(&self) -> NodeId {
        self.peer.id
    }

    /// The caller's id of the request: what `Service::unwanted` names.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The kind of the request.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Whether the caller still waits.
    pub fn is_wanted(&self) -> bool {
        self.peer.with(|session| session.is_wanted(self.id))
    }

    /// Answers with a message and what lies in `body`, in one operation of the fabric. An error says that the caller gets one
    /// too; there is nothing to be done about it here.
    pub fn reply<M: Message>(self, message: &M, body: &[RegionSlice]) -> Result<(), CallError> {
        with_writer(|writer| {
            message.encode(writer);
            self.reply_written(M::KIND, M::FENCED, writer, body)
        })
    }

    /// Answers with bytes that are a message of that kind already.
    pub fn reply_bytes(
        self,
        kind: u16,
        fenced: bool,
        payload: &[u8],
        body: &[RegionSlice],
    ) -> Result<(), CallError> {
        with_writer(|writer| {
            writer.raw(payload);
            self.reply_written(kind, fenced, writer, body)
        })
    }

    fn reply_written(
        mut self,
        kind: u16,
        fenced: bool,
        message: &mut Writer,
        body: &[RegionSlice],
    ) -> Result<(), CallError> {
        self.answered = true;
        let way = self.peer.with(|session| session.reply(self.id, kind, fenced, message, body));
        match way {
            Ok(Outgoing::Direct) => self.peer.send(message, body),
            Ok(Outgoing::Queued) => {
                self.peer.pump();
                Ok(())
            }
            Err(error) => {
                self.peer.pump();
                Err(error)
            }
        }
    }

    /// It was run and failed: the caller gets `CallError::Failed` with this text.
    pub fn fail(self, text: &str) {
        self.refuse(ErrorCode::Failed, text);
    }

    /// The request's bytes make no sense: the caller gets `Refusal::Malformed`.
    pub fn malformed(self, text: &str) {
        self.refuse(ErrorCode::Malformed, text);
    }

    pub(super) fn refuse(mut self, code: ErrorCode, text: &str) {
        self.answer_error(code, text);
    }

    fn answer_error(&mut self, code: ErrorCode, text: &str) {
        self.answered = true;
        self.peer.with(|session| session.refuse(self.id, code, text));
        self.peer.pump();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered {
            self.answer_error(ErrorCode::AnswerLost, "the handler gave no answer");
        }
    }
}
