//! A fabric whose events are kept, to be waited for.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::auth::Secret;
use crate::verbs::tcp::TcpFabric;
use crate::verbs::{ConnectError, DownReason, Event, Fabric, FabricConfig, Handler, OpError, OpId};
use crate::{Nanos, NodeId};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event that owns what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Up(NodeId),
    Down(NodeId, DownReason),
    ConnectFailed(ConnectError),
    Message(Vec<u8>),
    Written { imm: u32, bytes: usize },
    Done(OpId, Result<u64, OpError>),
    Writable,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    events: Mutex<VecDeque<Seen>>,
    ticked: Mutex<Nanos>,
    tick: Condvar,
    more: Condvar,
}

impl Handler for Record {
    fn on_event(&self, event: Event<'_>) {
        let seen = match event {
            Event::Up { peer, .. } => Seen::Up(peer),
            Event::Down { peer, reason } => Seen::Down(peer, reason),
            Event::ConnectFailed { reason, .. } => Seen::ConnectFailed(reason),
            Event::Message { bytes, .. } => Seen::Message(bytes.to_vec()),
            Event::Written { imm, bytes, .. } => Seen::Written { imm, bytes },
            Event::Done { op, result, .. } => Seen::Done(op, result),
            Event::Writable { .. } => Seen::Writable,
            Event::Tick { now } => {
                *self.ticked.lock() = now;
                self.tick.notify_all();
                return;
            }
        };
        self.events.lock().push_back(seen);
        self.more.notify_all();
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub(super) secret: Option<&'static str>,
    pub(super) spin_us: u64,
}

impl Mode {
    pub(super) const PLAIN: Self = Self { secret: None, spin_us: 50 };
}

pub(super) struct Node {
    pub(super) fabric: Arc<TcpFabric>,
    record: Arc<Record>,
}

impl Node {
    pub(super) fn new(mode: Mode) -> Self {
        Self::with(|config| {
            config.secret = mode.secret.map(|secret| Secret::from_bytes(secret.as_bytes()));
            config.spin_us = mode.spin_us;
        })
    }

    pub(super) fn with(set: impl FnOnce(&mut FabricConfig)) -> Self {
        let mut config = FabricConfig::new(NodeId::random().unwrap());
        set(&mut config);
        let fabric = TcpFabric::new(config).unwrap();
        let record = Arc::new(Record::default());
        fabric.start(Arc::clone(&record) as Arc<dyn Handler>).unwrap();
        Self { fabric, record }
    }

    pub(super) fn id(&self) -> NodeId {
        self.fabric.id()
    }

    /// The next event, which has to come.
    pub(super) fn next(&self) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.record.events.lock();
        loop {
            if let Some(event) = events.pop_front() {
                return event;
            }
            let waited = self.record.more.wait_until(&mut events, deadline);
            assert!(!waited.timed_out(), "no event within {PATIENCE:?}");
        }
    }

    #[track_caller]
    pub(super) fn expect(&self, event: Seen) {
        assert_eq!(self.next(), event);
    }

    /// Until a tick says that it is time.
    pub(super) fn wait_ticks(&self, is: impl Fn(Nanos) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut ticked = self.record.ticked.lock();
        while !is(*ticked) {
            let waited = self.record.tick.wait_until(&mut ticked, deadline);
            assert!(!waited.timed_out(), "no tick within {PATIENCE:?}");
        }
    }

    pub(super) fn seen_nothing_more(&self) -> bool {
        self.record.events.lock().is_empty()
    }
}

impl Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.id())
    }
}

/// Two nodes, connected.
pub(super) fn pair(mode: Mode) -> (Node, Node) {
    let (a, b) = (Node::new(mode), Node::new(mode));
    a.fabric.connect(&b.fabric.address()).unwrap();
    a.expect(Seen::Up(b.id()));
    b.expect(Seen::Up(a.id()));
    (a, b)
}
