//! The handshake as a pure state machine: bytes in, bytes out, done or refused. `verbs/tcp/receiver` runs it over
//! sockets, the fuzzer over anything.
//!
//! ```text
//!   initiator                                            responder
//!   Hello   { version, id, address }            ─────►
//!                                               ◄─────   Answer  { version, id, address }
//!   Confirm { connected to you already? }       ─────►
//!                                               ◄─────   Verdict { taken or duplicate }
//! ```
//!
//! With a secret, Hello and Answer are the messages of a Noise handshake, and Confirm and Verdict are its first
//! records: a recorded Hello that somebody replays gets an Answer and never gets further, because the replayer
//! cannot make the Confirm.

use std::sync::Arc;

use thiserror::Error;

use super::envelope::{self, ENVELOPE_BYTES, Envelope, Mode, Step};
use super::identity::{Local, PayloadError, Peer};
use super::noise::{Exchange, Opener, Sealer};

/// Why a handshake ended. Each side logs its own; the initiator's becomes a `ConnectError`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandshakeError {
    #[error("not a SciFS node: {0}")]
    NotSciFs(&'static str),
    #[error("it speaks protocol version {theirs}, this node speaks {ours}")]
    Version { ours: u16, theirs: u16 },
    #[error("it was started with another secret")]
    WrongSecret,
    #[error("it requires a secret and this node has none")]
    SecretRequired,
    #[error("it has no secret but this node has one")]
    SecretUnexpected,
    #[error("it is this node itself")]
    Itself,
    #[error("{0} came out of turn")]
    OutOfTurn(&'static str),
    #[error("it could not prove that it took part in this handshake; perhaps an old one is being replayed")]
    Unconfirmed,
    #[error("the cryptographic library refused: {0}")]
    Crypto(String),
}

/// What a call has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Waiting,
    /// Initiator: `peer` is known now; go on with `confirm`.
    Identified,
    /// Responder: the Answer is out; `peer` is known but nothing proves yet that it isn't a replay.
    Answered,
    /// Responder: the peer is who it says and has `connected` to this node already, or not; go on with `verdict`.
    Confirmed { connected: bool },
    /// Initiator: the connection is up; `finish`.
    Accepted,
    /// Initiator: the other side keeps another connection to this node.
    Duplicate,
}

enum State {
    AwaitAnswer(Option<Box<Exchange>>),
    Identified(Option<(Sealer, Opener)>),
    AwaitVerdict(Option<(Sealer, Opener)>),
    AwaitHello,
    AwaitConfirm(Option<(Sealer, Opener)>),
    Confirmed(Option<(Sealer, Opener)>),
    Finished(Option<(Sealer, Opener)>),
    Failed,
}

/// A handshake that succeeded. Frames begin behind it; in records, when there is a secret.
#[derive(Debug)]
pub struct Established {
    pub peer: Peer,
    pub records: Option<(Sealer, Opener)>,
}

pub struct Handshake {
    local: Arc<Local>,
    state: State,
    peer: Option<Peer>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Handshake {
    /// The side that connects. Its Hello is in `take_output` at once.
    pub fn initiator(local: &Arc<Local>) -> Result<Self, HandshakeError> {
        let mut this = Self::new(local, State::AwaitAnswer(None));
        let payload = local.payload();
        match &local.psk {
            None => this.send(Step::Hello, &payload),
            Some(psk) => {
                let mut exchange = Exchange::initiator(psk).map_err(crypto)?;
                let hello = exchange.write(&payload).map_err(crypto)?;
                this.send(Step::Hello, &hello);
                this.state = State::AwaitAnswer(Some(Box::new(exchange)));
            }
        }
        Ok(this)
    }

    /// The side that accepts.
    pub fn responder(local: &Arc<Local>) -> Self {
        Self::new(local, State::AwaitHello)
    }

    fn new(local: &Arc<Local>, state: State) -> Self {
        Self { local: Arc::clone(local), state, peer: None, input: Vec::new(), output: Vec::new() }
    }

    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// What must be sent now; also after an error, which the other side is told if there is a way to.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes bytes of the other side, at most to the end of one handshake message, and says how many it took. To be
    /// called again with the rest, unless the handshake is over: then the rest are frames.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(usize, Progress), HandshakeError> {
        let before = self.input.len();
        // One message is all that is ever kept, so a flood is not worth anything.
        let room = (ENVELOPE_BYTES + crate::limits::HANDSHAKE_BYTES_MAX).saturating_sub(before);
        let taken = bytes.len().min(room);
        self.input.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let input = std::mem::take(&mut self.input);
        let outcome = match envelope::read(&input) {
            Ok(None) => {
                self.input = input;
                return Ok((taken, Progress::Waiting));
            }
            Ok(Some((message, length))) => {
                self.advance(message).map(|progress| (length.saturating_sub(before), progress))
            }
            Err(what) => Err(HandshakeError::NotSciFs(what)),
        };
        if outcome.is_err() {
            self.state = State::Failed;
        }
        outcome
    }

    fn advance(&mut self, message: Envelope<'_>) -> Result<Progress, HandshakeError> {
        if message.step == Step::Reject {
            return Err(rejection(message.body));
        }
        match (std::mem::replace(&mut self.state, State::Failed), message.step) {
            (State::AwaitHello, Step::Hello) => self.on_hello(message),
            (State::AwaitAnswer(exchange), Step::Answer) => self.on_answer(exchange, message),
            (State::AwaitConfirm(mut records), Step::Confirm) => {
                let connected = open_flag(&mut records, message)?;
                self.state = State::Confirmed(records);
                Ok(Progress::Confirmed { connected })
            }
            (State::AwaitVerdict(mut records), Step::Verdict) => {
                let accepted = open_flag(&mut records, message)?;
                self.state = State::Finished(records);
                Ok(if accepted { Progress::Accepted } else { Progress::Duplicate })
            }
            (State::AwaitAnswer(_), Step::Hello) => {
                Err(HandshakeError::NotSciFs("it sends back what it receives"))
            }
            (_, step) => Err(HandshakeError::OutOfTurn(step_name(step))),
        }
    }

    fn on_hello(&mut self, message: Envelope<'_>) -> Result<Progress, HandshakeError> {
        let local = Arc::clone(&self.local);
        let (payload, exchange) = match (&local.psk, message.mode) {
            (None, Mode::Plain) => (message.body.to_vec(), None),
            (Some(psk), Mode::Noise) => {
                let mut exchange = Exchange::responder(psk).map_err(crypto)?;
                let Ok(payload) = exchange.read(message.body) else {
                    return Err(self.reject(HandshakeError::WrongSecret));
                };
                (payload, Some(exchange))
            }
            (Some(_), Mode::Plain) => return Err(self.reject(HandshakeError::SecretUnexpected)),
            (None, Mode::Noise) => return Err(self.reject(HandshakeError::SecretRequired)),
        };
        // Answered even when the versions differ: the Answer is how the other side learns ours.
        let ours = local.payload();
        let records = match exchange {
            None => {
                self.send(Step::Answer, &ours);
                None
            }
            Some(mut exchange) => {
                let answer = exchange.write(&ours).map_err(crypto)?;
                self.send(Step::Answer, &answer);
                Some(exchange.finish().map_err(crypto)?)
            }
        };
        self.identify(&payload)?;
        self.state = State::AwaitConfirm(records);
        Ok(Progress::Answered)
    }

    fn on_answer(
        &mut self,
        exchange: Option<Box<Exchange>>,
        message: Envelope<'_>,
    ) -> Result<Progress, HandshakeError> {
        let (payload, records) = match (exchange, message.mode) {
            (None, Mode::Plain) => (message.body.to_vec(), None),
            (Some(mut exchange), Mode::Noise) => {
                let payload = exchange.read(message.body).map_err(|_| HandshakeError::WrongSecret)?;
                (payload, Some(exchange.finish().map_err(crypto)?))
            }
            (None, Mode::Noise) => return Err(HandshakeError::SecretRequired),
            (Some(_), Mode::Plain) => return Err(HandshakeError::SecretUnexpected),
        };
        self.identify(&payload)?;
        self.state = State::Identified(records);
        Ok(Progress::Identified)
    }

    fn identify(&mut self, payload: &[u8]) -> Result<(), HandshakeError> {
        let ours = self.local.version;
        let peer = Peer::read(payload, ours).map_err(|error| match error {
            PayloadError::Version(theirs) => HandshakeError::Version { ours, theirs },
            PayloadError::Malformed => HandshakeError::NotSciFs("its identity is malformed"),
        })?;
        if peer.id == self.local.id {
            return Err(HandshakeError::Itself);
        }
        self.peer = Some(peer);
        Ok(())
    }

    /// Initiator, after `Identified`: says whether a connection to this peer is up already.
    pub fn confirm(&mut self, connected: bool) -> Result<(), HandshakeError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Identified(mut records) => {
                self.send_flag(Step::Confirm, &mut records, connected)?;
                self.state = State::AwaitVerdict(records);
                Ok(())
            }
            _ => Err(HandshakeError::OutOfTurn("confirm")),
        }
    }

    /// Responder, after `Confirmed`: takes the connection, or calls it a duplicate.
    pub fn verdict(&mut self, accept: bool) -> Result<(), HandshakeError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Confirmed(mut records) => {
                self.send_flag(Step::Verdict, &mut records, accept)?;
                self.state = State::Finished(records);
                Ok(())
            }
            _ => Err(HandshakeError::OutOfTurn("verdict")),
        }
    }

    /// After an `Accepted`, or a `verdict` that accepts.
    pub fn finish(self) -> Result<Established, HandshakeError> {
        match (self.state, self.peer) {
            (State::Finished(records), Some(peer)) => Ok(Established { peer, records }),
            _ => Err(HandshakeError::OutOfTurn("finish")),
        }
    }

    fn send(&mut self, step: Step, body: &[u8]) {
        let mode = if self.local.psk.is_some() { Mode::Noise } else { Mode::Plain };
        Envelope { mode, step, body }.write(&mut self.output);
    }

    fn send_flag(
        &mut self,
        step: Step,
        records: &mut Option<(Sealer, Opener)>,
        flag: bool,
    ) -> Result<(), HandshakeError> {
        let plain = [u8::from(flag)];
        match records {
            None => self.send(step, &plain),
            Some((sealer, _)) => {
                let mut sealed = Vec::new();
                sealer.seal(&plain, &mut sealed).map_err(|e| HandshakeError::Crypto(e.to_string()))?;
                self.send(step, &sealed);
            }
        }
        Ok(())
    }

    /// Tells the other side, in the clear, the little that it may know about why; gives the error back.
    fn reject(&mut self, error: HandshakeError) -> HandshakeError {
        let code = match error {
            // What it is to us is the opposite of what it is to them.
            HandshakeError::SecretUnexpected => REJECT_SECRET_REQUIRED,
            HandshakeError::SecretRequired => REJECT_SECRET_UNEXPECTED,
            _ => REJECT_WRONG_SECRET,
        };
        self.send(Step::Reject, &[code]);
        error
    }
}

const REJECT_SECRET_REQUIRED: u8 = 1;
const REJECT_SECRET_UNEXPECTED: u8 = 2;
const REJECT_WRONG_SECRET: u8 = 3;

fn rejection(body: &[u8]) -> HandshakeError {
    match body {
        [REJECT_SECRET_REQUIRED] => HandshakeError::SecretRequired,
        [REJECT_SECRET_UNEXPECTED] => HandshakeError::SecretUnexpected,
        [REJECT_WRONG_SECRET] => HandshakeError::WrongSecret,
        _ => HandshakeError::NotSciFs("it refused for a reason that has no meaning"),
    }
}

fn open_flag(records: &mut Option<(Sealer, Opener)>, message: Envelope<'_>) -> Result<bool, HandshakeError> {
    let mut plain = [0; 32];
    let flag = match (records, message.mode) {
        (None, Mode::Plain) => message.body,
        (Some((_, opener)), Mode::Noise) if message.body.len() <= plain.len() => {
            let bytes = opener.open(message.body, &mut plain).map_err(|_| HandshakeError::Unconfirmed)?;
            plain.get(..bytes).unwrap_or_default()
        }
        _ => return Err(HandshakeError::Unconfirmed),
    };
    match flag {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(HandshakeError::Unconfirmed),
    }
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Hello => "hello",
        Step::Answer => "answer",
        Step::Confirm => "confirm",
        Step::Verdict => "verdict",
        Step::Reject => "reject",
    }
}

fn crypto(error: snow::Error) -> HandshakeError {
    HandshakeError::Crypto(error.to_string())
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
