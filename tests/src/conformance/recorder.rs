//! The handler of every node in the suite. It keeps what it is told, lets a case react from within the handler, and can
//! be held, so that it takes nothing until it is released.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use scios::NodeId;
use scios::verbs::{ConnectError, DownReason, Event, Handler, OpError, OpId};

use super::signal::Signal;

/// An event that owns its bytes. Ticks are only counted.
#[derive(Clone, PartialEq, Eq)]
pub enum Seen {
    Up { peer: NodeId, address: String },
    Down { peer: NodeId, reason: DownReason },
    ConnectFailed { address: String, reason: ConnectError },
    Message { peer: NodeId, bytes: Vec<u8> },
    Written { peer: NodeId, imm: u32, bytes: usize },
    Done { peer: NodeId, op: OpId, result: Result<u64, OpError> },
    Writable { peer: NodeId },
}

/// What was seen of one peer.
#[derive(Clone, Debug, Default)]
pub struct PeerTally {
    pub ups: usize,
    pub downs: usize,
    pub messages: usize,
    pub writables: usize,
    pub done: BTreeMap<OpId, Result<u64, OpError>>,
    pub reason: Option<DownReason>,
}

pub type Reaction = dyn Fn(&Event<'_>) + Send + Sync;

#[derive(Default)]
struct Inner {
    log: Vec<Seen>,
    /// Of the log, so that a wait for the last of many events doesn't go through all of them at each.
    tallies: BTreeMap<NodeId, PeerTally>,
    ticks: u64,
    /// Operations that were begun, in order, with the number of events that had been seen then.
    begun: Vec<(NodeId, OpId)>,
    /// Peers whose event is being handled, to find two at once.
    busy: BTreeMap<NodeId, usize>,
    overlaps: Vec<NodeId>,
    reaction: Option<Arc<Reaction>>,
    held: bool,
}

pub struct Recorder {
    signal: Arc<Signal>,
    inner: Mutex<Inner>,
    released: Condvar,
}

impl Recorder {
    pub fn new(signal: Arc<Signal>) -> Self {
        Self { signal, inner: Mutex::default(), released: Condvar::new() }
    }

    pub fn log(&self) -> Vec<Seen> {
        self.inner.lock().log.clone()
    }

    /// Looks at the log without copying it.
    pub fn with<T>(&self, look: impl FnOnce(&[Seen]) -> T) -> T {
        look(&self.inner.lock().log)
    }

    pub fn count(&self, like: impl Fn(&Seen) -> bool) -> usize {
        self.with(|log| log.iter().filter(|seen| like(seen)).count())
    }

    pub fn tally<T>(&self, peer: NodeId, look: impl FnOnce(&PeerTally) -> T) -> T {
        look(self.inner.lock().tallies.entry(peer).or_default())
    }

    pub fn ticks(&self) -> u64 {
        self.inner.lock().ticks
    }

    pub fn react(&self, reaction: Option<Arc<Reaction>>) {
        let old = std::mem::replace(&mut self.inner.lock().reaction, reaction);
        drop(old);
    }

    /// From now on the handler takes nothing but ticks: it waits, on the thread that called it.
    pub fn hold(&self) {
        self.inner.lock().held = true;
    }

    pub fn release(&self) {
        self.inner.lock().held = false;
        self.released.notify_all();
    }

    pub fn begin(&self, peer: NodeId, op: OpId) {
        self.inner.lock().begun.push((peer, op));
    }

    /// It was refused after all.
    pub fn unbegin(&self, peer: NodeId, op: OpId) {
        let mut inner = self.inner.lock();
        if let Some(at) = inner.begun.iter().rposition(|begun| *begun == (peer, op)) {
            inner.begun.remove(at);
        }
    }

    /// What must hold of every log, whatever the case was about.
    pub fn verdict(&self) -> Result<(), String> {
        let inner = self.inner.lock();
        if let Some(peer) = inner.overlaps.first() {
            return Err(format!("two events of {peer} were handled at once"));
        }
        let mut peers: BTreeMap<NodeId, bool> = BTreeMap::new();
        let mut done: BTreeMap<(NodeId, OpId), usize> = BTreeMap::new();
        for seen in &inner.log {
            let Some(peer) = seen.peer() else { continue };
            let up = peers.entry(peer).or_default();
            match seen {
                Seen::Up { .. } if *up => return Err(format!("{peer} is up twice")),
                Seen::Up { .. } => *up = true,
                _ if !*up => return Err(format!("{seen:?} while the peer is not up")),
                Seen::Down { .. } => *up = false,
                Seen::Done { op, .. } => *done.entry((peer, *op)).or_default() += 1,
                _ => {}
            }
        }
        for begun in &inner.begun {
            let (peer, op) = begun;
            match done.remove(begun) {
                Some(1) => {}
                Some(times) => return Err(format!("{op:?} of {peer} ended {times} times")),
                None if peers.get(peer) == Some(&true) => {}
                None => return Err(format!("{op:?} of {peer} never ended, and the peer is down")),
            }
        }
        match done.pop_first() {
            Some(((peer, op), _)) => Err(format!("{op:?} of {peer} ended and was never begun")),
            None => Ok(()),
        }
    }

    fn enter(&self, event: &Event<'_>) -> Option<Arc<Reaction>> {
        let mut inner = self.inner.lock();
        let Some(seen) = Seen::of(event) else {
            inner.ticks += 1;
            return None;
        };
        while inner.held {
            self.released.wait(&mut inner);
        }
        if let Some(peer) = seen.peer() {
            let handled = inner.busy.entry(peer).or_default();
            *handled += 1;
            if *handled > 1 {
                inner.overlaps.push(peer);
            }
            inner.tallies.entry(peer).or_default().count(&seen);
        }
        inner.log.push(seen);
        inner.reaction.clone()
    }
}

impl Handler for Recorder {
    fn on_event(&self, event: Event<'_>) {
        if let Some(reaction) = self.enter(&event) {
            reaction(&event);
        }
        if let Some(peer) = Seen::of(&event).and_then(|seen| seen.peer())
            && let Some(handled) = self.inner.lock().busy.get_mut(&peer)
        {
            *handled -= 1;
        }
        self.signal.notify();
    }
}

impl PeerTally {
    fn count(&mut self, seen: &Seen) {
        match seen {
            Seen::Up { .. } => self.ups += 1,
            Seen::Down { reason, .. } => {
                self.downs += 1;
                self.reason = Some(reason.clone());
            }
            Seen::Message { .. } => self.messages += 1,
            Seen::Writable { .. } => self.writables += 1,
            Seen::Done { op, result, .. } => {
                self.done.insert(*op, *result);
            }
            Seen::Written { .. } | Seen::ConnectFailed { .. } => {}
        }
    }
}

impl Seen {
    fn of(event: &Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Up { peer, address } => Self::Up { peer: *peer, address: (*address).into() },
            Event::Down { peer, reason } => Self::Down { peer: *peer, reason: reason.clone() },
            Event::ConnectFailed { address, reason } => {
                Self::ConnectFailed { address: (*address).into(), reason: reason.clone() }
            }
            Event::Message { peer, bytes } => Self::Message { peer: *peer, bytes: bytes.to_vec() },
            Event::Written { peer, imm, bytes } => Self::Written { peer: *peer, imm: *imm, bytes: *bytes },
            Event::Done { peer, op, result } => Self::Done { peer: *peer, op: *op, result: *result },
            Event::Writable { peer } => Self::Writable { peer: *peer },
            Event::Tick { .. } => return None,
        })
    }

    pub fn peer(&self) -> Option<NodeId> {
        match self {
            Self::Up { peer, .. }
            | Self::Down { peer, .. }
            | Self::Message { peer, .. }
            | Self::Written { peer, .. }
            | Self::Done { peer, .. }
            | Self::Writable { peer } => Some(*peer),
            Self::ConnectFailed { .. } => None,
        }
    }
}

impl fmt::Debug for Seen {
    /// Messages in short: a failing case prints whole logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { peer, address } => write!(f, "Up({peer} at {address})"),
            Self::Down { peer, reason } => write!(f, "Down({peer}: {reason})"),
            Self::ConnectFailed { reason, .. } => write!(f, "ConnectFailed({reason})"),
            Self::Message { peer, bytes } => {
                let start = String::from_utf8_lossy(bytes.get(..bytes.len().min(16)).unwrap_or_default());
                write!(f, "Message({} bytes of {peer}: {start:?})", bytes.len())
            }
            Self::Written { peer, imm, bytes } => write!(f, "Written({bytes} bytes of {peer}, {imm})"),
            Self::Done { peer, op, result } => write!(f, "Done({} to {peer}: {result:?})", op.0),
            Self::Writable { peer } => write!(f, "Writable({peer})"),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        let skipped = inner.log.len().saturating_sub(40);
        let tail: Vec<_> = inner.log.iter().skip(skipped).collect();
        write!(f, "{skipped} earlier events, then {tail:?}, {} ticks", inner.ticks)
    }
}
