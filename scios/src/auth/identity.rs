//! What two nodes tell each other about themselves in the handshake.
//!
//! ```text
//! 0  version, u16    2  node id, u64    10  listen address, UTF-8, to the end
//! ```
//!
//! The version comes first for ever; the rest is only read when it is one's own.

use std::fmt;

use super::noise::Psk;
use super::secret::Secret;
use crate::NodeId;
use crate::limits::ADDRESS_BYTES_MAX;

/// This node, as every one of its handshakes presents it.
pub struct Local {
    pub id: NodeId,
    /// Where peers reach it, `HOST:PORT`.
    pub address: String,
    pub version: u16,
    pub(super) psk: Option<Psk>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("id", &self.id).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Local {
    pub fn new(id: NodeId, address: String, version: u16, secret: Option<&Secret>) -> Self {
        Self { id, address, version, psk: secret.map(Psk::derive) }
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.address.len());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.id.get().to_le_bytes());
        out.extend_from_slice(self.address.as_bytes());
        out
    }
}

/// The node at the other end, as it presented itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: NodeId,
    pub address: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayloadError {
    Version(u16),
    Malformed,
}

impl Peer {
    pub(super) fn read(payload: &[u8], ours: u16) -> Result<Self, PayloadError> {
        let (version, rest) = payload.split_first_chunk::<2>().ok_or(PayloadError::Malformed)?;
        let theirs = u16::from_le_bytes(*version);
        if theirs != ours {
            return Err(PayloadError::Version(theirs));
        }
        let (id, address) = rest.split_first_chunk::<8>().ok_or(PayloadError::Malformed)?;
        let id = NodeId::new(u64::from_le_bytes(*id)).ok_or(PayloadError::Malformed)?;
        // It ends up in logs and tables: nothing that could forge a line there.
        let plain = !address.is_empty() && address.iter().all(u8::is_ascii_graphic);
        if !plain || address.len() > ADDRESS_BYTES_MAX {
            return Err(PayloadError::Malformed);
        }
        let address = std::str::from_utf8(address).map_err(|_| PayloadError::Malformed)?;
        Ok(Self { id, address: address.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_exactly_the_bytes_of_the_document() {
        let id = NodeId::new(0x0102_0304_0506_0708).unwrap();
        let payload = Local::new(id, "a:1".into(), 0x0201, None).payload();
        assert_eq!(payload, b"\x01\x02\x08\x07\x06\x05\x04\x03\x02\x01a:1");
        assert_eq!(Peer::read(&payload, 0x0201), Ok(Peer { id, address: "a:1".into() }));
    }

    #[test]
    fn of_another_version_nothing_but_the_version_is_read() {
        assert_eq!(Peer::read(b"\x09\0", 1), Err(PayloadError::Version(9)));
        assert_eq!(Peer::read(b"\x09\0whatever comes", 1), Err(PayloadError::Version(9)));
    }

    #[test]
    fn nobody_is_node_zero_or_lives_at_an_address_with_a_line_break() {
        let malformed = Err(PayloadError::Malformed);
        assert_eq!(Peer::read(b"\x01\0\0\0\0\0\0\0\0\0a:1", 1), malformed);
        assert_eq!(Peer::read(b"\x01\0\x01\0\0\0\0\0\0\0", 1), malformed);
        assert_eq!(Peer::read(b"\x01\0\x01\0\0\0\0\0\0\0a\n:1", 1), malformed);
        let long = [b"\x01\0\x01\0\0\0\0\0\0\0".as_slice(), &[b'a'; ADDRESS_BYTES_MAX + 1]].concat();
        assert_eq!(Peer::read(&long, 1), malformed);
    }
}
