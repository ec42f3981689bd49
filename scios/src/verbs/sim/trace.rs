//! A digest of everything that happened, to show that two runs of one seed are the same run.

const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Debug, Default)]
pub(super) struct Trace {
    digest: u64,
    pub(super) events: u64,
}

impl Trace {
    pub(super) fn word(&mut self, word: u64) {
        self.digest = (self.digest ^ word).wrapping_mul(PRIME).rotate_left(29);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in chunks.by_ref() {
            self.word(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let mut tail = [0; 8];
        for (to, from) in tail.iter_mut().zip(chunks.remainder()) {
            *to = *from;
        }
        self.word(u64::from_le_bytes(tail));
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest ^ (self.digest >> 32)
    }
}
