//! What two nodes tell each other over their TCP connection so that queue pairs can be connected. Pure.
//!
//! ```text
//! 0   4  "SFRV"
//! 4   1  kind: 1 endpoint, 2 ready, 3 denied
//! 5      nothing more, except for an endpoint (little-endian):
//! 5   1  path MTU, as `enum ibv_mtu`
//! 6   1  reads and atomics that this end answers at once
//! 7   1  messages that this end takes, at least 1, before it has told that it has handled one
//! 8   4  queue pair number (24 bits)
//! 12  4  first packet number (24 bits)
//! 16  2  LID, 0 on Ethernet
//! 18  16 GID
//! ```

use thiserror::Error;

const MAGIC: [u8; 4] = *b"SFRV";
const ENDPOINT: u8 = 1;
const READY: u8 = 2;
const DENIED: u8 = 3;
const ENDPOINT_BYTES: usize = 34;

/// Queue pair and packet numbers have 24 bits.
pub(super) const NUMBER_MASK: u32 = 0x00ff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlMessage {
    Endpoint(Endpoint),
    /// The sender's end can receive.
    Ready,
    /// The receiver's memory refused the sender something, which ended the connection.
    Denied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) mtu: u8,
    pub(super) reads_answered: u8,
    pub(super) window: u8,
    pub(super) queue_pair: u32,
    pub(super) packet: u32,
    pub(super) lid: u16,
    pub(super) gid: [u8; 16],
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum ControlError {
    #[error("it does not speak fabric=verbs; start every node with the same fabric=")]
    OtherFabric,
    #[error("control message of kind {kind} and {bytes} bytes")]
    Malformed { kind: u8, bytes: usize },
}

impl ControlMessage {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        match self {
            Self::Endpoint(end) => {
                bytes.extend([ENDPOINT, end.mtu, end.reads_answered, end.window]);
                bytes.extend(end.queue_pair.to_le_bytes());
                bytes.extend(end.packet.to_le_bytes());
                bytes.extend(end.lid.to_le_bytes());
                bytes.extend(end.gid);
            }
            Self::Ready => bytes.push(READY),
            Self::Denied => bytes.push(DENIED),
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        let Some((&kind, rest)) = bytes.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else {
            return Err(ControlError::OtherFabric);
        };
        let message = match (kind, rest) {
            (ENDPOINT, _) if bytes.len() == ENDPOINT_BYTES => Endpoint::decode(rest).map(Self::Endpoint),
            (READY, []) => Some(Self::Ready),
            (DENIED, []) => Some(Self::Denied),
            _ => None,
        };
        message.ok_or(ControlError::Malformed { kind, bytes: bytes.len() })
    }
}

impl Endpoint {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[mtu, reads_answered, window], bytes) = bytes.split_first_chunk()?;
        let (queue_pair, bytes) = bytes.split_first_chunk()?;
        let (packet, bytes) = bytes.split_first_chunk()?;
        let (lid, bytes) = bytes.split_first_chunk()?;
        let end = Self {
            mtu,
            reads_answered,
            window,
            queue_pair: u32::from_le_bytes(*queue_pair),
            packet: u32::from_le_bytes(*packet),
            lid: u16::from_le_bytes(*lid),
            gid: bytes.try_into().ok()?,
        };
        let sound = (1..=5).contains(&mtu)
            && window > 0
            && end.queue_pair <= NUMBER_MASK
            && end.packet <= NUMBER_MASK;
        sound.then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Endpoint = Endpoint {
        mtu: 5,
        reads_answered: 16,
        window: 64,
        queue_pair: 0x123456,
        packet: 0xabcdef,
        lid: 0x0102,
        gid: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 5, 0, 1],
    };

    #[test]
    fn the_layout_is_the_documented_one() {
        let golden: &[u8] = &[
            b'S', b'F', b'R', b'V', 1, 5, 16, 64, 0x56, 0x34, 0x12, 0, 0xef, 0xcd, 0xab, 0, 2, 1, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 5, 0, 1,
        ];
        assert_eq!(ControlMessage::Endpoint(END).encode(), golden);
        assert_eq!(ControlMessage::Ready.encode(), b"SFRV\x02");
        assert_eq!(ControlMessage::Denied.encode(), b"SFRV\x03");
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for message in [ControlMessage::Endpoint(END), ControlMessage::Ready, ControlMessage::Denied] {
            assert_eq!(ControlMessage::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn every_other_length_or_kind_is_refused() {
        let whole = ControlMessage::Endpoint(END).encode();
        for cut in 0..whole.len() {
            assert!(ControlMessage::decode(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(ControlMessage::decode(&[whole.as_slice(), b"x"].concat()).is_err());
        assert_eq!(ControlMessage::decode(b"GET / HTTP/1.1"), Err(ControlError::OtherFabric));
        assert!(ControlMessage::decode(b"SFRV\x09").is_err());
        for (at, value) in [(5, 0), (5, 6), (7, 0), (11, 1), (15, 1)] {
            let mut bad = whole.clone();
            bad[at] = value;
            assert!(ControlMessage::decode(&bad).is_err(), "byte {at} = {value}");
        }
    }
}
