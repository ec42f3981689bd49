//! Two connected nodes, a service that does what its requests say, and what has been seen.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::memory::{Region, RegionSlice};
use crate::metrics::Registry;
use crate::rpc::codec::{DecodeError, Message, Reader, Request, Writer};
use crate::rpc::error::CallError;
use crate::rpc::frame::ErrorCode;
use crate::rpc::service::{Incoming, Listener, Service};
use crate::rpc::{CallId, Responder, Rpc};
use crate::verbs::sim::{SimConfig, SimNet};
use crate::verbs::{DownReason, Fabric, FabricConfig};
use crate::{Epoch, NodeId};

macro_rules! message {
    ($name:ident, $kind:literal, fenced: $fenced:literal, body: $body:literal) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct $name(pub u64);
        impl Message for $name {
            const KIND: u16 = $kind;
            const FENCED: bool = $fenced;
            const BODY_BYTES_MAX: usize = $body;
            fn encode(&self, to: &mut Writer) {
                to.u64(self.0);
            }
            fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                from.u64().map(Self)
            }
        }
    };
    ($name:ident, $kind:literal, fenced: $fenced:literal, body: $body:literal,
     reply: $reply:ident, idempotent: $idempotent:literal) => {
        message!($name, $kind, fenced: $fenced, body: $body);
        impl Request for $name {
            type Reply = $reply;
            const IDEMPOTENT: bool = $idempotent;
        }
    };
}

message!(Sum, 400, fenced: false, body: 0);
message!(Page, 401, fenced: false, body: 1_048_576);
message!(Add, 402, fenced: false, body: 0, reply: Sum, idempotent: false);
message!(Fetch, 403, fenced: true, body: 1_048_576, reply: Page, idempotent: true);
message!(Park, 404, fenced: false, body: 0, reply: Sum, idempotent: true);
message!(ParkOnce, 405, fenced: false, body: 0, reply: Sum, idempotent: false);
message!(Drop, 406, fenced: false, body: 0, reply: Sum, idempotent: false);
message!(Fail, 407, fenced: false, body: 0, reply: Sum, idempotent: false);
message!(Nobody, 900, fenced: false, body: 0, reply: Sum, idempotent: false);
message!(News, 410, fenced: false, body: 66_000);
message!(FencedNews, 411, fenced: true, body: 0);

pub(super) const SOON: Duration = Duration::from_millis(500);

pub(super) struct Node {
    pub id: NodeId,
    pub fabric: Arc<dyn Fabric>,
    pub rpc: Arc<Rpc>,
    pub seen: Arc<Seen>,
}

/// The service and listener of one node.
#[derive(Default)]
pub(super) struct Seen {
    pub lines: Mutex<Vec<String>>,
    pub parked: Mutex<Vec<Responder>>,
    pub page: Mutex<Option<RegionSlice>>,
}

impl Seen {
    fn note(&self, line: String) {
        self.lines.lock().push(line);
    }

    pub(super) fn has(&self, line: &str) -> bool {
        self.lines.lock().iter().any(|l| l == line)
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock())
    }
}

impl Service for Seen {
    fn request(&self, _: NodeId, message: Incoming<'_>, responder: Responder) {
        match message.kind {
            Add::KIND => match message.decode::<Add>() {
                Ok(add) => responder.reply(&Sum(add.0 + 1), &[]).unwrap(),
                Err(error) => responder.malformed(&error.to_string()),
            },
            Fetch::KIND => {
                let (fetch, body) = message.decode_with_body::<Fetch>().unwrap();
                self.note(format!("fetch with {} bytes", body.len()));
                let page = self.page.lock().clone();
                responder.reply(&Page(fetch.0), page.as_slice()).unwrap();
            }
            Drop::KIND => drop(responder),
            Fail::KIND => responder.fail("no such thing"),
            _ => {
                self.note(format!("parked {}", message.kind));
                self.parked.lock().push(responder);
            }
        }
    }

    fn one_way(&self, _: NodeId, message: Incoming<'_>) {
        if message.kind == News::KIND {
            let (news, body) = message.decode_with_body::<News>().unwrap();
            self.note(format!("news {} with {} bytes", news.0, body.len()));
        } else {
            self.note(format!("fenced news {}", message.decode::<FencedNews>().unwrap().0));
        }
    }

    fn unwanted(&self, _: NodeId, kind: u16, _: u64) {
        self.note(format!("unwanted {kind}"));
    }
}

impl Listener for Seen {
    fn up(&self, peer: NodeId, _: &str) {
        self.note(format!("up {}", peer.get()));
    }

    fn down(&self, peer: NodeId, reason: &DownReason) {
        self.note(format!("down {}: {reason}", peer.get()));
    }

    fn one_way_refused(&self, _: NodeId, kind: u16, theirs: Epoch, code: ErrorCode) {
        self.note(format!("{kind} refused: {code:?} at {theirs}"));
    }
}

/// Two nodes that are connected; `a` and `b` in the tests.
pub(super) struct Nodes {
    pub net: SimNet,
    /// Of `a`.
    pub registry: Arc<Registry>,
    pub a: Node,
    pub b: Node,
}

impl Nodes {
    pub(super) fn new() -> Self {
        let net = SimNet::new(1, SimConfig::default());
        let registry = Registry::new();
        let (a, b) = (node(&net, 1, &registry), node(&net, 2, &Registry::new()));
        let nodes = Self { net, registry, a, b };
        nodes.connect();
        nodes
    }

    pub(super) fn connect(&self) {
        self.a.fabric.connect(&self.b.fabric.address()).unwrap();
        self.until(|n| n.a.seen.has("up 2") && n.b.seen.has("up 1"));
        self.a.seen.take();
        self.b.seen.take();
    }

    pub(super) fn until(&self, done: impl Fn(&Self) -> bool) {
        let deadline = self.net.now() + Duration::from_secs(60);
        assert!(self.net.run_until(deadline, |_| done(self)), "it never happened");
    }

    /// A call of `a` at `b`; its end appears in the result.
    pub(super) fn call<R: Request>(&self, request: R, deadline: Duration) -> (CallId, Ended<R::Reply>)
    where
        R::Reply: Send + 'static,
    {
        let ended: Ended<R::Reply> = Arc::default();
        let end = Arc::clone(&ended);
        let id = self.a.rpc.call(self.b.id, &request, &[], deadline, move |result| {
            let before = end.lock().replace(result.map(|answer| answer.message));
            assert!(before.is_none(), "a call ended twice");
        });
        (id, ended)
    }

    /// Runs until a call has ended.
    pub(super) fn ended<M>(&self, ended: &Ended<M>) -> Result<M, CallError> {
        self.until(|_| ended.lock().is_some());
        ended.lock().take().unwrap()
    }
}

impl std::ops::Drop for Nodes {
    fn drop(&mut self) {
        self.a.rpc.stop();
        self.b.rpc.stop();
    }
}

pub(super) type Ended<M> = Arc<Mutex<Option<Result<M, CallError>>>>;

fn node(net: &SimNet, id: u64, registry: &Registry) -> Node {
    let id = NodeId::new(id).unwrap();
    let fabric: Arc<dyn Fabric> = net.add_node(FabricConfig::new(id));
    let (rpc, seen) = (Rpc::with_metrics(Arc::clone(&fabric), registry), Arc::new(Seen::default()));
    rpc.serve(400..=499, seen.clone());
    rpc.listen(seen.clone());
    rpc.start().unwrap();
    Node { id, fabric, rpc, seen }
}

/// Memory with a pattern in it.
pub(super) fn slice(bytes: usize) -> RegionSlice {
    let slice = Region::new("test", bytes as u64).unwrap().whole();
    let pattern: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    slice.write_from(&pattern).unwrap();
    slice
}
