//! Names of nodes and of the views they share.

use std::fmt;

/// One run of one node. Drawn at random when the node starts, so a node that restarts without its memory is
/// a new node to everybody, and nobody mistakes it for the one that died.
///
/// Never zero: consensus libraries keep zero for "nobody".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

impl NodeId {
    /// `None` for zero, which no node may have.
    pub fn new(raw: u64) -> Option<Self> {
        (raw != 0).then_some(Self(raw))
    }

    /// A fresh identity from the kernel's random source.
    pub fn random() -> std::io::Result<Self> {
        loop {
            let mut bytes = [0u8; 8];
            let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
            if got == bytes.len()
                && let Some(id) = Self::new(u64::from_le_bytes(bytes))
            {
                return Ok(id);
            }
        }
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// The number of a member view: every view has another one, later views have higher ones. Zero is "no view yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}", self.0)
    }
}
