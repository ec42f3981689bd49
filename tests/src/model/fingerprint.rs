//! A fast 64-bit hash for states: a multiply-and-fold of every word, the same in every run.

use std::hash::{Hash, Hasher};

#[derive(Clone, Copy)]
pub(super) struct Fold(u64);

pub(super) fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = Fold(0x243f_6a88_85a3_08d3);
    value.hash(&mut hasher);
    hasher.finish()
}

impl Fold {
    fn word(&mut self, word: u64) {
        let product =
            u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128 as u64 | 1);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(23);
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.word(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.word(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.word(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.word(n as u64);
    }
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 32
    }
}

/// For sets of fingerprints, which need no second hashing.
#[derive(Clone, Copy, Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) type Fingerprints = std::collections::HashSet<u64, std::hash::BuildHasherDefault<Identity>>;
