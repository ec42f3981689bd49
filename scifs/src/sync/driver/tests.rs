//! Nodes joined by a queue of messages, driven through what the mount calls.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

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
    fn distrust(&self, peer: MemberNo, why: &dyn Display) {
        panic!("{peer:?}: {why}");
    }
    fn rejoin(&self) {
        panic!("views out of order");
    }
}

struct Cluster {
    nodes: Vec<Arc<Waits>>,
    queue: Queue,
    word: Arc<AtomicU64>,
    registry: Arc<Registry>,
}

type Result_ = Arc<Mutex<Option<Result<u32, Errno>>>>;

const WORD: Word = Word { inode: 5, offset: 8 };

fn view(epoch: u64, nodes: &[u32]) -> View {
    let member = |no: &u32| Member { no: MemberNo(*no), joined: Epoch(0) };
    View { epoch: Epoch(epoch), members: nodes.iter().map(member).collect(), handed_over: None }
}

impl Cluster {
    fn new(nodes: u32) -> Self {
        let (queue, registry) = (Queue::default(), Registry::new());
        let all: Vec<_> = (0..nodes).collect();
        let node = |no: &u32| {
            let post = Arc::new(Wire { me: MemberNo(*no), queue: Arc::clone(&queue) });
            Waits::new(MemberNo(*no), view(1, &all), post, &registry)
        };
        let nodes = all.iter().map(node).collect();
        let cluster = Self { nodes, queue, word: Arc::default(), registry };
        cluster.deliver();
        cluster
    }

    fn deliver(&self) {
        loop {
            let Some((from, to, message)) = self.queue.lock().pop_front() else { return };
            self.nodes[to.0 as usize].message(from, message);
        }
    }

    fn told() -> (Result_, impl FnOnce(Result<u32, Errno>) + Send + 'static) {
        let result = Result_::default();
        let told = Arc::clone(&result);
        (result, move |ended| assert_eq!(told.lock().replace(ended), None))
    }

    /// Waits as long as the word is 0.
    fn wait(&self, node: usize, unique: u64, timeout: Option<Duration>) -> Result_ {
        let (result, done) = Self::told();
        let word = Arc::clone(&self.word);
        let look: Arc<Looking> = Arc::new(move |tell| {
            let found = if word.load(Ordering::SeqCst) == 0 { Looked::AsExpected } else { Looked::Other };
            tell(found);
        });
        self.nodes[node].wait(WORD, look, timeout, unique, done);
        self.deliver();
        result
    }

    fn notify(&self, node: usize, count: u32) -> u32 {
        let (result, done) = Self::told();
        self.nodes[node].notify(WORD, count, done);
        self.deliver();
        result.lock().take().unwrap().unwrap()
    }

    fn arrive(&self, node: usize, unique: u64, parties: u32) -> Result_ {
        let (result, done) = Self::told();
        self.nodes[node].arrive(BarrierName::of_text("b").unwrap(), parties, None, unique, done);
        self.deliver();
        result
    }
}

#[test]
fn who_waits_longest_is_woken_first_whatever_the_node() {
    let cluster = Cluster::new(3);
    let waits: Vec<_> = (0..6).map(|n| cluster.wait(n % 3, n as u64, None)).collect();
    assert_eq!(cluster.notify(1, 2), 2);
    let ended = || waits.iter().map(|wait| *wait.lock()).collect::<Vec<_>>();
    let woken = Some(Ok(0));
    assert_eq!(ended(), [woken, woken, None, None, None, None]);
    assert!(cluster.nodes[2].interrupt(2) && !cluster.nodes[2].interrupt(9));
    cluster.deliver();
    assert_eq!(cluster.notify(2, 1), 1);
    assert_eq!(ended(), [woken, woken, Some(Err(Errno::INTR)), woken, None, None]);
    cluster.word.store(1, Ordering::SeqCst);
    assert_eq!(*cluster.wait(0, 10, None).lock(), Some(Err(Errno::AGAIN)));
    assert_eq!(cluster.notify(0, u32::MAX), 2);
    assert_eq!(cluster.notify(0, u32::MAX), 0);
}

#[test]
fn a_wait_ends_when_its_time_is_over_and_others_with_the_membership() {
    let cluster = Cluster::new(2);
    let other = cluster.wait(1, 1, Some(Duration::from_secs(600)));
    let short = cluster.wait(0, 2, Some(Duration::from_millis(5)));
    let deadline = Instant::now() + Duration::from_secs(20);
    while short.lock().is_none() {
        assert!(Instant::now() < deadline);
        cluster.deliver();
        std::thread::yield_now();
    }
    assert_eq!((*short.lock(), *other.lock()), (Some(Err(Errno::TIMEDOUT)), None));
    let waiting = cluster.registry.gauge("scifs_waiting_count", "", &[]);
    assert_eq!(waiting.get(), 1);
    cluster.nodes[1].end();
    assert_eq!((*other.lock(), waiting.get()), (Some(Err(Errno::IO)), 0));
    assert_eq!(*cluster.wait(1, 3, None).lock(), Some(Err(Errno::IO)));
}

#[test]
fn a_barrier_opens_for_all_again_and_again_and_one_gets_the_one() {
    let cluster = Cluster::new(3);
    for round in 0..3 {
        let first: Vec<_> = (0..3).map(|node| cluster.arrive(node, node as u64, 4)).collect();
        assert!(first.iter().all(|party| party.lock().is_none()));
        assert_eq!(*cluster.arrive(1, 8, 5).lock(), Some(Err(Errno::INVAL)), "it wants five");
        let last = cluster.arrive(round, 9, 4);
        assert_eq!(*last.lock(), Some(Ok(1)));
        assert!(first.iter().all(|party| *party.lock() == Some(Ok(0))), "round {round}");
    }
    assert_eq!(*cluster.arrive(0, 1, 1).lock(), Some(Ok(1)));
    for parties in [0, u32::MAX] {
        assert_eq!(*cluster.arrive(0, 1, parties).lock(), Some(Err(Errno::INVAL)));
    }
}

#[test]
fn after_a_death_the_others_wait_on_and_the_parties_of_the_dead_are_missing() {
    let cluster = Cluster::new(3);
    let waits: Vec<_> = (0..2).map(|node| cluster.wait(node, 1, None)).collect();
    let parties: Vec<_> = (0..3).map(|node| cluster.arrive(node, 2, 4)).collect();
    for node in 0..2 {
        cluster.nodes[node].view(view(2, &[0, 1]));
    }
    cluster.queue.lock().retain(|(_, to, _)| to.0 != 2);
    cluster.deliver();
    assert_eq!(cluster.notify(1, 5), 2);
    assert!(waits.iter().all(|wait| *wait.lock() == Some(Ok(0))));
    cluster.arrive(0, 3, 4);
    assert!(parties.iter().all(|party| party.lock().is_none()), "three of four");
    assert_eq!(*cluster.arrive(1, 4, 4).lock(), Some(Ok(1)));
    assert!(parties[..2].iter().all(|party| *party.lock() == Some(Ok(0))));
}
