//! Two nodes over real sockets and real time: a caller that waits, and pages on the way.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::nodes::{Add, Fetch, Page, Park, Seen, Sum, slice};
use crate::NodeId;
use crate::rpc::{CallError, Listener, Rpc};
use crate::verbs::FabricConfig;
use crate::verbs::tcp::TcpFabric;

const LONG: Duration = Duration::from_secs(30);

struct Up(mpsc::Sender<NodeId>);

impl Listener for Up {
    fn up(&self, peer: NodeId, _: &str) {
        // Nobody listens any more once the test has seen what it waited for.
        let _ = self.0.send(peer);
    }
}

fn node(id: u64) -> (Arc<Rpc>, Arc<Seen>) {
    let fabric = TcpFabric::new(FabricConfig::new(NodeId::new(id).unwrap())).unwrap();
    let (rpc, seen) = (Rpc::new(fabric), Arc::new(Seen::default()));
    rpc.serve(400..=499, seen.clone());
    (rpc, seen)
}

#[test]
fn calls_pages_and_deadlines_over_sockets() {
    let ((a, _), (b, seen)) = (node(1), node(2));
    let (sender, ups) = mpsc::channel();
    a.listen(Arc::new(Up(sender)));
    b.start().unwrap();
    a.start().unwrap();
    a.fabric().connect(&b.fabric().address()).unwrap();
    let peer = ups.recv_timeout(LONG).unwrap();

    assert_eq!(a.call_wait(peer, &Add(41), &[], LONG), Ok(Sum(42)));
    for bytes in [4096, 65_536, 700_000] {
        *seen.page.lock() = Some(slice(bytes));
        let answer = a.call_wait_with(peer, &Fetch(9), &[slice(bytes)], LONG, |answer| {
            (answer.message, answer.body.to_vec())
        });
        assert!(answer == Ok((Page(9), slice(bytes).to_vec())));
    }
    let short = Duration::from_millis(30);
    let late = a.call_wait(peer, &Park(0), &[], short);
    assert_eq!(late, Err(CallError::TimedOut { may_have_run: true }));
    a.stop();
    b.stop();
    assert_eq!(a.call_wait(peer, &Add(1), &[], LONG), Err(CallError::PeerLost { may_have_run: false }));
}
