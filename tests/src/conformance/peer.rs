//! The manners of a node in a process of its own (`tests/src/bin/peer.rs`): it answers what it is asked for.

use std::sync::Arc;

use scios::NodeId;
use scios::memory::Region;
use scios::verbs::{Event, Fabric, Handler, RemoteKey, Rights};

use super::lab::LONG;

/// It sends the message back.
pub const ECHO: &[u8] = b"echo ";

/// It grants a page, with all rights, and sends the key.
pub const LEND: &[u8] = b"lend";

const PAGE: u64 = scios::limits::PAGE_BYTES as u64;

pub struct Peer {
    fabric: Arc<dyn Fabric>,
    page: Arc<Region>,
}

impl Peer {
    pub fn new(fabric: Arc<dyn Fabric>) -> Self {
        let page = Region::new("peer", PAGE).expect("memory for the test");
        Self { fabric, page }
    }

    fn lend(&self, peer: NodeId) {
        let until = self.fabric.now() + LONG;
        let key = self.fabric.grant(peer, &self.page.whole(), Rights::ALL, until).expect("grant");
        self.fabric.send(peer, &encode(&key), &[]).expect("send");
    }
}

impl Handler for Peer {
    fn on_event(&self, event: Event<'_>) {
        match event {
            Event::Message { peer, bytes: LEND } => self.lend(peer),
            Event::Message { peer, bytes } if bytes.starts_with(ECHO) => {
                // A peer that is gone needs no answer.
                let _ = self.fabric.send(peer, bytes, &[]);
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peer({})", self.fabric.id())
    }
}

pub fn encode(key: &RemoteKey) -> Vec<u8> {
    [key.key, key.base, key.bytes].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `None` for anything that isn't an encoded key.
pub fn decode(bytes: &[u8]) -> Option<RemoteKey> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    (bytes.len() == 24).then_some(RemoteKey { key: word(0)?, base: word(8)?, bytes: word(16)? })
}
