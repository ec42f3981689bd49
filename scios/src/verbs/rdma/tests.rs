//! Two nodes of one process over a real device. The conformance suite tries every promise; this is what it takes to
//! know, within this crate, that the parts fit together. `cargo xtask test` runs it in the guest, with `--ignored`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::RdmaFabric;
use crate::memory::Region;
use crate::verbs::{Event, Fabric, FabricConfig, Handler, OpError, OpId, Operation, RemoteKey, Rights};
use crate::{Nanos, NodeId};

const DEADLINE: Duration = Duration::from_secs(30);

/// Keeps what it is told, as text.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Handler for Log {
    fn on_event(&self, event: Event<'_>) {
        let line = match event {
            Event::Tick { .. } => return,
            Event::Up { peer, .. } => format!("up {peer}"),
            Event::Down { peer, reason } => format!("down {peer}: {reason}"),
            Event::Message { bytes, .. } => format!("message {}", String::from_utf8_lossy(bytes)),
            Event::Done { op: OpId(op), result, .. } => format!("done {op} {result:?}"),
            Event::Written { imm, bytes, .. } => format!("written {imm} {bytes}"),
            other => format!("{other:?}"),
        };
        self.lines.lock().push(line);
        self.more.notify_all();
    }
}

impl Log {
    fn wait(&self, line: &str) {
        let end = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock();
        while !lines.iter().any(|seen| seen == line) {
            assert!(!self.more.wait_until(&mut lines, end).timed_out(), "no {line:?} in {lines:?}");
        }
    }
}

struct Node {
    fabric: Arc<RdmaFabric>,
    log: Arc<Log>,
    id: NodeId,
}

fn node(id: u64) -> Node {
    let id = NodeId::new(id).unwrap();
    let fabric = RdmaFabric::new(FabricConfig::new(id)).unwrap();
    let log = Arc::new(Log::default());
    fabric.start(Arc::clone(&log) as Arc<dyn Handler>).unwrap();
    Node { fabric, log, id }
}

fn pair() -> (Node, Node) {
    let (a, b) = (node(1), node(2));
    a.fabric.connect(&b.fabric.address()).unwrap();
    a.log.wait(&format!("up {}", b.id));
    b.log.wait(&format!("up {}", a.id));
    (a, b)
}

fn lend(owner: &Node, to: &Node, region: &Arc<Region>, rights: Rights) -> RemoteKey {
    let until = Nanos::monotonic() + DEADLINE;
    owner.fabric.grant(to.id, &region.slice(64, 4096).unwrap(), rights, until).unwrap()
}

#[test]
#[ignore = "needs an RDMA device"]
fn messages_operations_and_the_end_arrive_in_order() {
    let (a, b) = pair();
    let (theirs, mine) = (Region::new("b", 8192).unwrap(), Region::new("a", 8192).unwrap());
    mine.whole().write_from(b"page").unwrap();
    let key = lend(&b, &a, &theirs, Rights::ALL);

    a.fabric.send(b.id, b"hello", &[]).unwrap();
    let from = [mine.slice(0, 4000).unwrap(), mine.slice(4096, 96).unwrap()];
    let place = Operation::Place { head: b"placed", from: &from, into: key.slice(0, 4096) };
    a.fabric.post(b.id, OpId(1), place).unwrap();
    let write = Operation::WriteImm { from: &from[..1], into: key.slice(0, 4000), imm: 7 };
    a.fabric.post(b.id, OpId(2), write).unwrap();
    let add = Operation::FetchAdd { at: key.slice(8, 8), add: 5 };
    a.fabric.post(b.id, OpId(3), add).unwrap();
    let swap = Operation::CompareAndSwap { at: key.slice(8, 8), expected: 5, new: 6 };
    a.fabric.post(b.id, OpId(4), swap).unwrap();
    a.log.wait("done 4 Ok(5)");
    let read = Operation::Read { from: key.slice(0, 16), into: mine.slice(4096, 16).unwrap() };
    a.fabric.post(b.id, OpId(5), read).unwrap();
    a.log.wait("done 5 Ok(0)");
    assert_eq!(mine.slice(4096, 16).unwrap().to_vec(), b"page\0\0\0\0\x06\0\0\0\0\0\0\0");

    b.log.wait("written 7 4000");
    b.fabric.stop();
    let goodbye = format!("down {}: closed", b.id);
    a.log.wait(&goodbye);
    assert_eq!(
        *b.log.lines.lock(),
        [
            format!("up {}", a.id),
            "message hello".into(),
            "message placed".into(),
            "written 7 4000".into(),
            format!("down {}: closed", a.id)
        ]
    );
}

#[test]
#[ignore = "needs an RDMA device"]
fn an_attempt_at_what_was_revoked_is_denied_and_costs_the_connection() {
    let (a, b) = pair();
    let (theirs, mine) = (Region::new("b", 8192).unwrap(), Region::new("a", 4096).unwrap());
    let key = lend(&b, &a, &theirs, Rights::READ);
    let read = |op| {
        let read = Operation::Read { from: key.slice(0, 4096), into: mine.whole() };
        a.fabric.post(b.id, OpId(op), read).unwrap();
    };
    read(1);
    a.log.wait("done 1 Ok(0)");
    b.fabric.revoke(a.id, &key);
    read(2);
    a.log.wait(&format!("done 2 {:?}", Err::<u64, _>(OpError::Denied)));
    a.log.wait(&format!("down {}: reached for memory that was not granted", b.id));
    b.log.wait(&format!("down {}: protocol broken: it reached for memory that it was not granted", a.id));
}

#[test]
fn without_a_device_the_error_says_what_to_do() {
    let config = FabricConfig::new(NodeId::new(1).unwrap());
    if let Err(error) = RdmaFabric::new(config) {
        let text = error.to_string();
        assert!(text.contains("apt install") || text.contains("rxe-setup/up.sh"), "{text}");
    }
}
