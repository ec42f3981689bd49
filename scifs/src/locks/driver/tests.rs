//! Nodes joined by a queue of messages, driven through what the file surface calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::coherence::{Epoch, Member};

type Queue = Arc<Mutex<VecDeque<(MemberNo, MemberNo, Message)>>>;

struct Wire {
    me: MemberNo,
    queue: Queue,
}

impl Post<Message> for Wire {
    fn send(&self, to: MemberNo, message: &Message) {
        self.queue.lock().push_back((self.me, to, message.clone()));
    }
    fn distrust(&self, peer: MemberNo, why: &dyn fmt::Display) {
        panic!("{peer:?}: {why}");
    }
    fn rejoin(&self) {
        panic!("views out of order");
    }
}

struct Cluster {
    nodes: Vec<Arc<Locks>>,
    queue: Queue,
}

impl Cluster {
    fn new(nodes: u32) -> Self {
        let queue = Queue::default();
        let members: Vec<_> = (0..nodes).map(|no| Member { no: MemberNo(no), joined: Epoch(0) }).collect();
        let view = View { epoch: Epoch(1), members, handed_over: None };
        let node = |no| {
            let post = Arc::new(Wire { me: MemberNo(no), queue: Arc::clone(&queue) });
            Locks::new(MemberNo(no), view.clone(), post)
        };
        let cluster = Self { nodes: (0..nodes).map(node).collect(), queue: Arc::clone(&queue) };
        cluster.deliver();
        cluster
    }

    /// Until nothing is under way; how many messages that took.
    fn deliver(&self) -> usize {
        let mut count = 0;
        loop {
            let Some((from, to, message)) = self.queue.lock().pop_front() else { return count };
            count += 1;
            self.nodes[to.0 as usize].message(from, message);
        }
    }

    fn set(&self, node: usize, unique: u64, request: LockRequest) -> Arc<Mutex<Option<Result<(), Errno>>>> {
        let result = Arc::new(Mutex::new(None));
        let told = Arc::clone(&result);
        self.nodes[node].set(5, request, unique, move |ended| *told.lock() = Some(ended));
        result
    }
}

fn flock(owner: u64, kind: Option<Kind>, wait: bool) -> LockRequest {
    LockRequest { space: Space::Flock, owner, pid: 1, start: 0, end: u64::MAX, kind, wait, handle: owner }
}

fn posix(owner: u64, start: u64, kind: Option<Kind>) -> LockRequest {
    LockRequest { space: Space::Posix, owner, pid: 1, start, end: start, kind, wait: true, handle: owner }
}

#[test]
fn the_last_holder_locks_again_without_a_message_and_hands_over_with_one() {
    let cluster = Cluster::new(3);
    for node in 0..3 {
        let first = cluster.set(node, 1, flock(1, Some(Kind::Write), true));
        cluster.deliver();
        assert_eq!(*first.lock(), Some(Ok(())));
        for _ in 0..10 {
            cluster.set(node, 2, flock(1, None, false));
            let again = cluster.set(node, 3, flock(1, Some(Kind::Write), true));
            assert_eq!((*again.lock(), cluster.queue.lock().len()), (Some(Ok(())), 0));
        }
        let next = (node + 1) % 3;
        let waiting = cluster.set(next, 4, flock(1, Some(Kind::Write), true));
        cluster.deliver();
        assert_eq!(*waiting.lock(), None);
        cluster.set(node, 5, flock(1, None, false));
        let (from, to, message) = cluster.queue.lock().pop_front().unwrap();
        cluster.nodes[to.0 as usize].message(from, message);
        assert_eq!(*waiting.lock(), Some(Ok(())), "the first message is the grant");
        cluster.deliver();
        cluster.set(next, 6, flock(1, None, false));
        cluster.deliver();
    }
}

#[test]
fn a_waiting_request_can_be_interrupted_and_ends_with_the_membership() {
    let cluster = Cluster::new(2);
    cluster.set(0, 1, flock(1, Some(Kind::Write), true));
    cluster.deliver();
    let waiting = cluster.set(1, 7, flock(2, Some(Kind::Read), true));
    cluster.deliver();
    assert!(!cluster.nodes[1].interrupt(8) && cluster.nodes[1].interrupt(7));
    cluster.deliver();
    assert_eq!(*waiting.lock(), Some(Err(Errno::INTR)));
    assert!(!cluster.nodes[1].interrupt(7));
    let waiting = cluster.set(1, 9, flock(2, Some(Kind::Read), true));
    let tried = cluster.set(1, 10, flock(3, Some(Kind::Read), false));
    cluster.deliver();
    assert_eq!((*waiting.lock(), *tried.lock()), (None, Some(Err(Errno::AGAIN))));
    cluster.nodes[1].end();
    assert_eq!(*waiting.lock(), Some(Err(Errno::IO)));
    assert_eq!(*cluster.set(1, 11, flock(3, None, false)).lock(), Some(Err(Errno::IO)));
}

#[test]
fn who_closes_the_circle_gets_edeadlk_and_a_close_lets_the_others_go_on() {
    let cluster = Cluster::new(3);
    for node in 0..3 {
        cluster.set(node, 1, posix(1, node as u64, Some(Kind::Write)));
        cluster.deliver();
    }
    let waits: Vec<_> = (0..3)
        .map(|node| {
            let wait = cluster.set(node, 2, posix(1, (node as u64 + 1) % 3, Some(Kind::Read)));
            cluster.deliver();
            wait
        })
        .collect();
    let results: Vec<_> = waits.iter().map(|wait| *wait.lock()).collect();
    assert_eq!(results, [None, None, Some(Err(Errno::DEADLK))]);
    let closed = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&closed);
    cluster.nodes[2].release_owner(5, Space::Posix, 1, move || {
        told.fetch_add(1, Ordering::Relaxed);
    });
    cluster.deliver();
    assert_eq!((closed.load(Ordering::Relaxed), *waits[1].lock(), *waits[0].lock()), (1, Some(Ok(())), None));
    cluster.nodes[1].release_handle(5, 1);
    cluster.deliver();
    assert_eq!(*waits[0].lock(), Some(Ok(())));
}

#[test]
fn a_test_names_the_lock_that_stands_in_the_way() {
    let cluster = Cluster::new(2);
    cluster.set(0, 1, LockRequest { pid: 42, end: 9, ..posix(1, 5, Some(Kind::Write)) });
    cluster.deliver();
    let seen = Arc::new(Mutex::new(None));
    for (start, expected) in [(9, Some((42, 5, 9))), (10, None)] {
        let told = Arc::clone(&seen);
        cluster.nodes[1]
            .test(5, &posix(1, start, Some(Kind::Read)), move |answer| *told.lock() = Some(answer));
        cluster.deliver();
        let answer = seen.lock().take().unwrap().unwrap();
        assert_eq!(answer.map(|c| (c.pid, c.range.start, c.range.end)), expected);
    }
    let backwards = cluster.set(0, 9, LockRequest { end: 4, ..posix(1, 5, None) });
    assert_eq!(*backwards.lock(), Some(Err(Errno::INVAL)));
}
