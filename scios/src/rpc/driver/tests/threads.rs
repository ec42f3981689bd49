//! Many threads that call each other over a fabric with real threads and a queue that is nearly always full: what
//! simulated time can't show are two threads in the same place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::nodes::{Add, Fetch, News, Page, Seen, Sum, slice};
use crate::memory::{Region, RegionId, RegionSlice};
use crate::rpc::{CallError, Rpc};
use crate::verbs::{Event, Fabric, FabricError, Handler, OpId, Operation, RemoteKey, Rights, SendError};
use crate::{Nanos, NodeId};

const QUEUE_FRAMES: usize = 3;
const CALLERS: u64 = 4;
const CALLS: u64 = 150;
const LONG: Duration = Duration::from_secs(60);

/// The queue towards one node.
#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    wants_room: bool,
}

#[derive(Default)]
struct Inbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Channel {
    id: NodeId,
    peer: NodeId,
    inbox: Arc<Inbox>,
    outbox: Arc<Inbox>,
    /// Set by the peer's receiver when half of what this node sent has drained.
    writable: Arc<AtomicBool>,
    peer_writable: Arc<AtomicBool>,
    stopping: AtomicBool,
    receiver: Mutex<Option<JoinHandle<()>>>,
}

impl Channel {
    fn receive(&self, handler: &dyn Handler) {
        handler.on_event(Event::Up { peer: self.peer, address: "" });
        while !self.stopping.load(Ordering::Acquire) {
            let frame = {
                let mut queue = self.inbox.queue.lock();
                if queue.frames.is_empty() {
                    self.inbox.changed.wait_for(&mut queue, Duration::from_millis(1));
                }
                let frame = queue.frames.pop_front();
                if queue.frames.len() <= QUEUE_FRAMES / 2 && std::mem::take(&mut queue.wants_room) {
                    self.peer_writable.store(true, Ordering::Release);
                }
                frame
            };
            if let Some(bytes) = frame {
                handler.on_event(Event::Message { peer: self.peer, bytes: &bytes });
            } else {
                handler.on_event(Event::Tick { now: Nanos::monotonic() });
            }
            if self.writable.swap(false, Ordering::AcqRel) {
                handler.on_event(Event::Writable { peer: self.peer });
            }
        }
    }
}

impl Fabric for Arc<Channel> {
    fn send(&self, _: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        let mut queue = self.outbox.queue.lock();
        if queue.frames.len() >= QUEUE_FRAMES {
            queue.wants_room = true;
            return Err(SendError::Full);
        }
        let mut bytes = head.to_vec();
        bytes.extend(body.iter().flat_map(RegionSlice::to_vec));
        queue.frames.push_back(bytes);
        self.outbox.changed.notify_one();
        Ok(())
    }

    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        let channel = Arc::clone(self);
        let receiver = std::thread::spawn(move || channel.receive(handler.as_ref()));
        *self.receiver.lock() = Some(receiver);
        Ok(())
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(receiver) = self.receiver.lock().take() {
            receiver.join().unwrap();
        }
    }

    fn id(&self) -> NodeId {
        self.id
    }
    fn address(&self) -> String {
        String::new()
    }
    fn now(&self) -> Nanos {
        Nanos::monotonic()
    }
    fn connect(&self, _: &str) -> Result<(), FabricError> {
        Ok(())
    }
    fn disconnect(&self, peer: NodeId) {
        panic!("{peer} was accused of breaking the protocol");
    }
    fn register(&self, _: &Arc<Region>) -> Result<(), FabricError> {
        Ok(())
    }
    fn forget(&self, _: RegionId) {}
    fn grant(&self, _: NodeId, _: &RegionSlice, _: Rights, _: Nanos) -> Result<RemoteKey, FabricError> {
        Err(FabricError::Stopped)
    }
    fn revoke(&self, _: NodeId, _: &RemoteKey) {}
    fn post(&self, peer: NodeId, _: OpId, _: Operation<'_>) -> Result<(), SendError> {
        Err(SendError::NotConnected(peer))
    }
}

fn channels() -> [Arc<Channel>; 2] {
    let [a, b] = [1, 2].map(|id| NodeId::new(id).unwrap());
    let inboxes: [Arc<Inbox>; 2] = Default::default();
    let writable: [Arc<AtomicBool>; 2] = Default::default();
    [(0, a, b), (1, b, a)].map(|(this, id, peer)| {
        let other = 1 - this;
        Arc::new(Channel {
            id,
            peer,
            inbox: inboxes[this].clone(),
            outbox: inboxes[other].clone(),
            writable: writable[this].clone(),
            peer_writable: writable[other].clone(),
            stopping: AtomicBool::new(false),
            receiver: Mutex::default(),
        })
    })
}

fn started(channel: &Arc<Channel>, page: usize) -> (Arc<Rpc>, Arc<Seen>) {
    let (rpc, seen) = (Rpc::new(Arc::new(Arc::clone(channel))), Arc::new(Seen::default()));
    *seen.page.lock() = Some(slice(page));
    rpc.serve(400..=499, seen.clone());
    rpc.listen(seen.clone());
    rpc.start().unwrap();
    (rpc, seen)
}

/// One caller: short and long calls, and one-way messages of its own numbers.
fn caller(rpc: &Rpc, peer: NodeId, number: u64, page: usize) {
    for call in 0..CALLS {
        let value = number << 32 | call;
        assert_eq!(rpc.call_wait(peer, &Add(value), &[], LONG), Ok(Sum(value + 1)));
        match rpc.one_way(peer, &News(value), &[]) {
            Ok(()) | Err(CallError::Full) => {}
            Err(other) => panic!("{other}"),
        }
        if call % 10 == number {
            let take = |answer: crate::rpc::Answer<'_, Page>| (answer.message, answer.body.len());
            let answer = rpc.call_wait_with(peer, &Fetch(value), &[slice(page)], LONG, take);
            assert_eq!(answer, Ok((Page(value), page)));
        }
    }
}

#[test]
fn threads_that_share_a_full_connection_lose_nothing_and_keep_their_order() {
    let page = 150_000;
    let channels = channels();
    let nodes = channels.each_ref().map(|channel| started(channel, page));
    for (_, seen) in &nodes {
        while seen.lines.lock().is_empty() {
            std::thread::yield_now();
        }
    }
    std::thread::scope(|scope| {
        for (channel, (rpc, _)) in channels.iter().zip(&nodes) {
            for number in 0..CALLERS {
                scope.spawn(move || caller(rpc, channel.peer, number, page));
            }
        }
    });
    for (rpc, seen) in &nodes {
        // Every caller's last one-way message was sent before its last answer was asked for, or is still queued.
        let peer = rpc.fabric().id().get() ^ 3;
        let load = rpc.load(NodeId::new(peer).unwrap()).unwrap();
        assert_eq!((load.up, load.calls), (true, 0));
        let news: Vec<u64> = seen.lines.lock().iter().filter_map(|line| news_number(line)).collect();
        for number in 0..CALLERS {
            let of_caller: Vec<u64> = news.iter().copied().filter(|value| value >> 32 == number).collect();
            assert!(of_caller.is_sorted_by(|a, b| a < b), "caller {number}: {of_caller:?}");
            assert!(of_caller.len() as u64 >= CALLS - 1, "caller {number}: {}", of_caller.len());
        }
    }
    for (rpc, _) in &nodes {
        rpc.stop();
    }
}

fn news_number(line: &str) -> Option<u64> {
    line.strip_prefix("news ")?.split(' ').next()?.parse().ok()
}
