//! Who may talk to this node: the cluster's shared secret, and the handshake in which two nodes prove to each other
//! that they know it before any other byte is interpreted. `verbs/tcp/WIRE.md` draws the bytes.

mod envelope;
mod handshake;
mod identity;
mod noise;
mod secret;

pub use handshake::{Established, Handshake, HandshakeError, Progress};
pub use identity::{Local, Peer};
pub use noise::{Opener, RECORD_PLAIN_BYTES_MAX, RecordError, Sealer};
pub use secret::{Secret, SecretError};
