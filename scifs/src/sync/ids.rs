//! The names that waiting uses.

use std::fmt;

use super::limits::NAME_BYTES_MAX;
use crate::coherence::{Epoch, MemberNo};

pub use crate::coherence::Token;
pub use crate::locks::WaiterId;

/// Where somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Word(Word),
    Barrier(BarrierName),
}

/// A word in a file, aligned to its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    pub inode: u64,
    pub offset: u64,
}

/// Filled up with zeros; not only zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BarrierName([u8; NAME_BYTES_MAX]);

/// A place in a queue, given by the keeper of that time and kept for as long as one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    pub epoch: Epoch,
    pub number: u64,
}

/// One opening of a barrier, different from all others of that barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round {
    pub epoch: Epoch,
    pub number: u64,
}

impl BarrierName {
    /// Nothing for a name that is empty.
    pub fn new(bytes: [u8; NAME_BYTES_MAX]) -> Option<Self> {
        (bytes.first() != Some(&0)).then_some(Self(bytes))
    }

    pub fn of_text(text: &str) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Self::new(bytes)
    }

    pub fn bytes(&self) -> &[u8; NAME_BYTES_MAX] {
        &self.0
    }
}

impl Key {
    /// Spreads keys over keepers. The same on every node and in every version: it is part of the protocol.
    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Word(Word { inode, offset }) => mix(mix(0x776f_7264, *inode), *offset),
            Self::Barrier(name) => {
                let words =
                    name.0.chunks(8).map(|chunk| chunk.iter().fold(0, |w, byte| w << 8 | u64::from(*byte)));
                words.fold(0x6261_7272, mix)
            }
        }
    }
}

fn mix(so_far: u64, word: u64) -> u64 {
    let mut h = so_far.rotate_left(23) ^ word;
    for shift in [30, 27, 31] {
        h ^= h >> shift;
        h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    h ^ (h >> 29)
}

impl fmt::Debug for BarrierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        write!(f, "{:?}", String::from_utf8_lossy(text))
    }
}

/// The members that these waiters are on, each once.
pub(super) fn nodes<'a>(of: impl IntoIterator<Item = &'a WaiterId>) -> std::collections::BTreeSet<MemberNo> {
    of.into_iter().map(|waiter| waiter.node).collect()
}
