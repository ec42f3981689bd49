//! The table of connections. A token carries the generation of its slot, so an event for a connection that is gone
//! never reaches the one that took its place.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::vec::IntoIter;

use crate::Nanos;
use crate::auth::Handshake;
use crate::verbs::DownReason;
use crate::verbs::liveness::Liveness;
use crate::verbs::tcp::link::Link;
use crate::verbs::tcp::stream::Stream;

/// ```text
///   connect ──► Connecting ──► Handshaking ──► Up ──► Lingering ──► gone
///   accept  ──────────────────────▲    any of them ──────────────────▲
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    /// The kernel is at it; `others` are the addresses to try next.
    Connecting {
        address: String,
        others: IntoIter<std::net::SocketAddr>,
    },
    Handshaking {
        handshake: Box<Handshake>,
        outgoing: Option<String>,
        answered: Option<Nanos>,
    },
    Up(Up),
    /// Closed here; what the peer still sends is thrown away until it closes too and so has read our goodbye.
    Lingering {
        link: Arc<Link>,
    },
    /// Between two phases, and never seen outside of that.
    Over,
}

#[derive(Debug)]
pub(super) struct Up {
    pub(super) link: Arc<Link>,
    /// Where the peer is reached.
    pub(super) address: String,
    pub(super) liveness: Liveness,
    pub(super) receiving: Receiving,
    /// Why a lane's connection is being closed here; its `Down` is due when the lane has ended.
    pub(super) ending: Option<DownReason>,
}

/// Who receives.
#[derive(Debug)]
pub(super) enum Receiving {
    Here(Box<Stream>),
    Lane(JoinHandle<()>),
    /// A lane has ended.
    Nobody,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Arc<OwnedFd>,
    /// The other end as the kernel knows it.
    pub(super) remote: Option<std::net::SocketAddr>,
    /// When to give up; for connections that are up, only once they are being closed.
    pub(super) deadline: Nanos,
    /// When it came up.
    pub(super) since: Nanos,
    pub(super) phase: Phase,
}

#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, connection: Connection) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            // CONNECTIONS_MAX is far below 2^32.
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.connection = Some(connection);
        token(index, slot.generation)
    }

    pub(super) fn get_mut(&mut self, token: u64) -> Option<&mut Connection> {
        let (index, generation) = parts(token);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        slot.connection.as_mut()
    }

    pub(super) fn remove(&mut self, token: u64) -> Option<Connection> {
        let (index, generation) = parts(token);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        let connection = slot.connection.take()?;
        // The top bit stays free for the tokens that are no connection's.
        slot.generation = (generation + 1) & (u32::MAX >> 1);
        self.free.push(index as u32);
        Some(connection)
    }

    /// Takes a connection's handshake out, to go on with what comes of it.
    pub(super) fn take_handshake(&mut self, token: u64) -> Option<Box<Handshake>> {
        let connection = self.get_mut(token)?;
        match std::mem::replace(&mut connection.phase, Phase::Over) {
            Phase::Handshaking { handshake, .. } => Some(handshake),
            other => {
                connection.phase = other;
                None
            }
        }
    }

    /// Every connection with its token.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Connection)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let token = token(index as u32, slot.generation);
            slot.connection.as_mut().map(|connection| (token, connection))
        })
    }
}

fn token(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

fn parts(token: u64) -> (usize, u32) {
    (token as u32 as usize, (token >> 32) as u32)
}
