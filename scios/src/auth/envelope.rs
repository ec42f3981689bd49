//! What every handshake message is wrapped in: enough to tell a SciFS node from anything else, and a node with a
//! secret from one without. It is the same for all protocol versions, or they could not name each other's.
//!
//! ```text
//! 0  magic "ScFS"    4  mode    5  step    6  body length, little-endian u16    8  body
//! ```

use crate::limits::HANDSHAKE_BYTES_MAX;

pub(super) const MAGIC: [u8; 4] = *b"ScFS";
pub(super) const ENVELOPE_BYTES: usize = 8;

/// With a secret or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Noise,
}

/// Which message of the handshake this is. Both directions differ, so that an echo isn't mistaken for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Hello,
    Answer,
    Confirm,
    Verdict,
    Reject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    pub(super) mode: Mode,
    pub(super) step: Step,
    pub(super) body: &'a [u8],
}

impl Envelope<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mode = match self.mode {
            Mode::Plain => 1,
            Mode::Noise => 2,
        };
        let step = match self.step {
            Step::Hello => 1,
            Step::Answer => 2,
            Step::Confirm => 3,
            Step::Verdict => 4,
            Step::Reject => 5,
        };
        // Bodies are made by this module's own callers and are far below the limit.
        let length = (self.body.len() as u16).to_le_bytes();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[mode, step]);
        out.extend_from_slice(&length);
        out.extend_from_slice(self.body);
    }
}

/// The envelope at the start of `bytes` and its whole length; `None` while more bytes are needed. The error says what
/// is wrong with it. Judged from the first byte on: what can't become an envelope any more is refused at once.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Envelope<'_>, usize)>, &'static str> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Err("its first bytes are not SciFS's");
    }
    let Some((head, rest)) = bytes.split_first_chunk::<ENVELOPE_BYTES>() else { return Ok(None) };
    let [_, _, _, _, mode, step, length @ ..] = *head;
    let mode = match mode {
        1 => Mode::Plain,
        2 => Mode::Noise,
        _ => return Err("it names an unknown handshake mode"),
    };
    let step = match step {
        1 => Step::Hello,
        2 => Step::Answer,
        3 => Step::Confirm,
        4 => Step::Verdict,
        5 => Step::Reject,
        _ => return Err("it names an unknown handshake step"),
    };
    let length = usize::from(u16::from_le_bytes(length));
    if length > HANDSHAKE_BYTES_MAX {
        return Err("its handshake message is longer than allowed");
    }
    Ok(rest.get(..length).map(|body| (Envelope { mode, step, body }, ENVELOPE_BYTES + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_exactly_the_bytes_of_the_document() {
        let envelope = Envelope { mode: Mode::Noise, step: Step::Answer, body: b"xy" };
        let mut bytes = Vec::new();
        envelope.write(&mut bytes);
        assert_eq!(bytes, b"ScFS\x02\x02\x02\0xy");
        assert_eq!(read(&bytes), Ok(Some((envelope, 10))));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn other_protocols_are_told_apart_at_their_first_byte() {
        assert!(read(b"H").is_err());
        assert!(read(b"ScFS\x03\x01\0\0").is_err());
        assert!(read(b"ScFS\x01\x09\0\0").is_err());
        assert!(read(b"ScFS\x01\x01\xff\xff").is_err());
    }
}
