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

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole exchange with ephemeral keys that are not random, so that its bytes can be written down.
    fn fixed() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let psk = Psk::derive(&Secret::from_bytes(b"0123456789abcdef"));
        let build = |key| builder(&psk).unwrap().fixed_ephemeral_key_for_testing_only(key);
        let mut a = Exchange(build(&[1; 32]).build_initiator().unwrap());
        let mut b = Exchange(build(&[2; 32]).build_responder().unwrap());
        let hello = a.write(b"hello").unwrap();
        assert_eq!(b.read(&hello).unwrap(), b"hello");
        let answer = b.write(b"answer").unwrap();
        assert_eq!(a.read(&answer).unwrap(), b"answer");
        let ((mut sealer, _), (_, mut opener)) = (a.finish().unwrap(), b.finish().unwrap());
        let mut record = Vec::new();
        sealer.seal(b"record", &mut record).unwrap();
        let mut plain = [0; 64];
        assert_eq!(opener.open(&record, &mut plain), Ok(6));
        (hello, answer, record)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn with_fixed_keys_the_bytes_are_those_of_the_document() {
        let (hello, answer, record) = fixed();
        assert_eq!(
            hex(&hello),
            "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a2099c11f4f970138eb476cad5daf3e42eb176706b7106"
        );
        assert_eq!(
            hex(&answer),
            "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59660bbabec551d167269cdd5e69b9b722734df362e93e"
        );
        assert_eq!(hex(&record), "1600b17c1f1eed22ad96d00bad5ccdb3a1fb700356c6d625");
    }

    #[test]
    fn records_come_in_order_or_not_at_all() {
        let psk = Psk::derive(&Secret::from_bytes(b"0123456789abcdef"));
        let (mut a, mut b) = (Exchange::initiator(&psk).unwrap(), Exchange::responder(&psk).unwrap());
        b.read(&a.write(b"").unwrap()).unwrap();
        a.read(&b.write(b"").unwrap()).unwrap();
        let ((mut sealer, mut own), (_, mut opener)) = (a.finish().unwrap(), b.finish().unwrap());
        let mut records = [const { Vec::new() }; 3];
        for record in &mut records {
            sealer.seal(&[7; 100], record).unwrap();
        }
        let mut plain = [0; 200];
        let [first, second, third] = records;
        assert_eq!(opener.open(&second, &mut plain), Err(RecordError::Open), "left one out");
        assert_eq!(opener.open(&first, &mut plain), Ok(100));
        assert_eq!(opener.open(&first, &mut plain), Err(RecordError::Open), "repeated");
        assert_eq!(own.open(&second, &mut plain), Err(RecordError::Open), "sent back");
        assert_eq!(opener.open(&second, &mut plain), Ok(100));
        let cut = third.get(..third.len() - 1).unwrap();
        assert_eq!(opener.open(cut, &mut plain), Err(RecordError::Open), "cut short");
        assert_eq!(opener.open(&third, &mut plain), Ok(100));
    }

    #[test]
    fn what_is_longer_than_a_record_becomes_several() {
        let psk = Psk::derive(&Secret::from_bytes(b"0123456789abcdef"));
        let (mut a, mut b) = (Exchange::initiator(&psk).unwrap(), Exchange::responder(&psk).unwrap());
        b.read(&a.write(b"").unwrap()).unwrap();
        a.read(&b.write(b"").unwrap()).unwrap();
        let ((mut sealer, _), (_, mut opener)) = (a.finish().unwrap(), b.finish().unwrap());
        let long: Vec<u8> = (0..200_000u32).map(|i| (i % 249) as u8).collect();
        let mut sealed = Vec::new();
        sealer.seal(&long, &mut sealed).unwrap();
        let (mut rest, mut opened, mut plain) = (sealed.as_slice(), Vec::new(), vec![0; 65_535]);
        while let Some(bytes) = Opener::record_bytes(rest).unwrap() {
            let got = opener.open(&rest[..bytes], &mut plain).unwrap();
            opened.extend_from_slice(&plain[..got]);
            rest = &rest[bytes..];
        }
        assert!(opened == long);
        assert_eq!(Opener::record_bytes(&[16, 0]), Err(RecordError::Length(16)));
    }
}
