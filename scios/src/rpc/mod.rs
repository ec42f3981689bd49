//! Typed messages between nodes: requests with a deadline that end exactly once, and one-way messages.
//!
//! - [`codec`]: how values become bytes; [`frame`]: the head of every frame. All layouts are in `WIRE.md`.
//! - [`session`]: the protocol with one peer, a pure state machine.
//! - [`driver`]: sessions on a fabric; [`service`]: what the layers above implement.
//! - [`error`]: how calls end without an answer.

pub mod codec;
pub mod driver;
pub mod error;
pub mod frame;
pub mod service;
pub mod session;

pub use codec::{DecodeError, Message, Reader, Request, Writer};
pub use driver::{CallId, Responder, Rpc};
pub use error::{CallError, Refusal};
pub use service::{Answer, Incoming, Listener, Service};
pub use session::CallSpec;
