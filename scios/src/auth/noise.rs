//! The cryptography: a Noise handshake (`NNpsk0`: both sides prove that they know the secret, and get fresh keys that
//! no later theft of the secret reveals) and the records that carry everything after it.
//!
//! A record is a little-endian u16 length and that many bytes of ciphertext, the last 16 of which are the tag. Nonces
//! count records and never travel, so a record that is repeated, left out, reordered or changed fails to open.

use std::fmt;
use std::sync::Arc;

use snow::{Builder, HandshakeState, StatelessTransportState};
use thiserror::Error;

use super::secret::Secret;

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const PROLOGUE: &[u8] = b"SciFS fabric handshake";
const PSK_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const LENGTH_BYTES: usize = 2;
const NOISE_MESSAGE_BYTES_MAX: usize = 65_535;

/// The most that one record carries.
pub const RECORD_PLAIN_BYTES_MAX: usize = NOISE_MESSAGE_BYTES_MAX - TAG_BYTES;

/// The key that both sides derive from the secret file's bytes.
pub(super) struct Psk([u8; PSK_BYTES]);

impl Psk {
    pub(super) fn derive(secret: &Secret) -> Self {
        use ring::hkdf::{HKDF_SHA256, Salt};
        let mut key = [0; PSK_BYTES];
        let random = Salt::new(HKDF_SHA256, b"SciFS").extract(secret.bytes());
        // Fails only for outputs longer than 255 hashes.
        if let Ok(stream) = random.expand(&[b"fabric psk 1"], HKDF_SHA256) {
            let _ = stream.fill(&mut key);
        }
        Self(key)
    }
}

/// The two messages of the Noise handshake.
pub(super) struct Exchange(HandshakeState);

impl Exchange {
    pub(super) fn initiator(psk: &Psk) -> Result<Self, snow::Error> {
        Ok(Self(builder(psk)?.build_initiator()?))
    }

    pub(super) fn responder(psk: &Psk) -> Result<Self, snow::Error> {
        Ok(Self(builder(psk)?.build_responder()?))
    }

    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, snow::Error> {
        // 32 bytes of key and a tag or two are all that the pattern adds.
        let mut message = vec![0; payload.len() + 2 * PSK_BYTES + 2 * TAG_BYTES];
        let used = self.0.write_message(payload, &mut message)?;
        message.truncate(used);
        Ok(message)
    }

    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, snow::Error> {
        let mut payload = vec![0; message.len()];
        let used = self.0.read_message(message, &mut payload)?;
        payload.truncate(used);
        Ok(payload)
    }

    pub(super) fn finish(self) -> Result<(Sealer, Opener), snow::Error> {
        let keys = Arc::new(self.0.into_stateless_transport_mode()?);
        Ok((Sealer { keys: Arc::clone(&keys), records: 0 }, Opener { keys, records: 0 }))
    }
}

fn builder(psk: &Psk) -> Result<Builder<'_>, snow::Error> {
    Builder::new(PATTERN.parse()?).psk(0, &psk.0)?.prologue(PROLOGUE)
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("an encrypted record did not open: it was changed, repeated or left out on its way")]
    Open,
    #[error("an encrypted record of {0} bytes cannot be one")]
    Length(usize),
    #[error("a record could not be sealed")]
    Seal,
}

/// The sending half of an encrypted connection.
pub struct Sealer {
    keys: Arc<StatelessTransportState>,
    records: u64,
}

impl Sealer {
    /// Appends `plain` to `out` as one record or several.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        for piece in plain.chunks(RECORD_PLAIN_BYTES_MAX) {
            let bytes = piece.len() + TAG_BYTES;
            let length = u16::try_from(bytes).map_err(|_| RecordError::Seal)?;
            out.extend_from_slice(&length.to_le_bytes());
            let start = out.len();
            out.resize(start + bytes, 0);
            let to = out.get_mut(start..).ok_or(RecordError::Seal)?;
            self.keys.write_message(self.records, piece, to).map_err(|_| RecordError::Seal)?;
            self.records = self.records.checked_add(1).ok_or(RecordError::Seal)?;
        }
        Ok(())
    }
}

/// The receiving half.
pub struct Opener {
    keys: Arc<StatelessTransportState>,
    records: u64,
}

impl Opener {
    /// How long the record at the start of `bytes` is in all; `None` while more bytes are needed to tell.
    pub fn record_bytes(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::from(u16::from_le_bytes(*length));
        if length <= TAG_BYTES {
            return Err(RecordError::Length(length));
        }
        Ok(Some(LENGTH_BYTES + length))
    }

    /// Opens one whole record into `into`, which must have room for it; says how many bytes it held.
    pub fn open(&mut self, record: &[u8], into: &mut [u8]) -> Result<usize, RecordError> {
        let sealed = record.get(LENGTH_BYTES..).ok_or(RecordError::Length(record.len()))?;
        let bytes = self.keys.read_message(self.records, sealed, into).map_err(|_| RecordError::Open)?;
        self.records = self.records.checked_add(1).ok_or(RecordError::Open)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("records", &self.records).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("records", &self.records).finish_non_exhaustive()
    }
}
