//! The bindings against a real device, a card or soft-RoCE: two queue pairs of one process, connected to each other.
//! `cargo xtask test` runs these in the guest, with `--ignored`; there a missing device is a failure.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::memory::{Region, RegionSlice};
use crate::verbs::Rights;

const DEADLINE: Duration = Duration::from_secs(20);

struct Pair {
    device: Arc<Device>,
    domain: Arc<ProtectionDomain>,
    completions: Arc<CompletionQueue>,
    receives: Arc<ReceiveQueue>,
    ends: [QueuePair; 2],
    taken: RefCell<VecDeque<Completion>>,
}

impl Pair {
    fn new() -> Self {
        let library = Library::load().unwrap();
        let device = library.devices().unwrap().remove(0);
        let domain = ProtectionDomain::new(&device).unwrap();
        let completions = CompletionQueue::new(&Channel::new(&device).unwrap(), 64).unwrap();
        let receives = ReceiveQueue::new(&domain, 4, 8192).unwrap();
        let sizes = QueuePairSizes { works: 16, gather: 4, inline_bytes: 256 };
        let end = || QueuePair::new(&domain, &completions, &receives, sizes).unwrap();
        let ends = [end(), end()];
        let port = device.ports().unwrap().into_iter().find(|port| port.active).unwrap();
        let gid = first_gid(&device, &port);
        for (near, far) in [(0, 1), (1, 0)] {
            let path = PathToPeer {
                local_port: port.number,
                local_gid_index: gid.index,
                local_packet: 100 + near as u32,
                queue_pair: ends[far].number(),
                packet: 100 + far as u32,
                gid: gid.raw,
                lid: port.lid,
                mtu: port.mtu,
                reads_asked: 4,
                reads_answered: 4,
            };
            ends[near].connect(&path).unwrap();
        }
        Self { device, domain, completions, receives, ends, taken: RefCell::default() }
    }

    fn next(&self) -> Completion {
        let end = Instant::now() + DEADLINE;
        let mut taken = self.taken.borrow_mut();
        while taken.is_empty() {
            assert!(Instant::now() < end, "no completion within {DEADLINE:?}");
            self.completions.poll(|completion| taken.push_back(completion)).unwrap();
        }
        taken.pop_front().unwrap()
    }

    fn run(&self, end: usize, kind: WorkKind<'_>, payload: Payload<'_>) -> Outcome {
        self.ends[end].post(&[Work { id: 7, signaled: true, kind, payload }]).unwrap();
        let done = self.next();
        assert_eq!((done.id, done.queue_pair), (7, self.ends[end].number()));
        done.outcome
    }

    fn memory(&self, bytes: u64) -> (Arc<Region>, Arc<Registration>) {
        let region = Region::new("test", bytes).unwrap();
        let registration = Registration::new(&self.domain, &region.whole(), Access::Windows).unwrap();
        (region, Arc::new(registration))
    }

    /// Gives end 0 the range, over a window bound by end 1.
    fn grant(
        &self,
        registration: &Arc<Registration>,
        range: &RegionSlice,
        rights: Rights,
    ) -> (Window, Remote) {
        let window = Window::new(Arc::clone(registration)).unwrap();
        let key = window.next_key();
        let kind = WorkKind::Bind { window: &window, key, range, rights };
        assert_eq!(self.run(1, kind, Payload::Gather(&[])), SENT);
        (window, Remote { address: range.base() as u64, key })
    }
}

const SENT: Outcome = Outcome::Done(CompletionKind::Sent);

fn first_gid(device: &Device, port: &Port) -> Gid {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(gid) = device.gids(port).into_iter().find(|gid| gid.ip().is_ipv4()) {
            return gid;
        }
        assert!(Instant::now() < end, "no GID within {DEADLINE:?}");
    }
}

#[test]
fn a_missing_library_says_what_to_install() {
    let error = Library::load_named("libibverbs-of-nobody.so.9").unwrap_err().to_string();
    assert!(error.contains("apt install libibverbs1 ibverbs-providers"), "{error}");
}

#[test]
#[ignore = "needs an RDMA device"]
fn messages_arrive_in_shared_buffers_in_order() {
    let pair = Pair::new();
    let (region, registration) = pair.memory(8192);
    region.slice(100, 5).unwrap().write_from(b"large").unwrap();
    let sges = [registration.sge(&region.slice(100, 5000).unwrap()).unwrap()];
    let small =
        Work { id: 1, signaled: false, kind: WorkKind::Send { imm: 9 }, payload: Payload::Inline(b"small") };
    let large =
        Work { id: 2, signaled: false, kind: WorkKind::Send { imm: 9 }, payload: Payload::Gather(&sges) };
    // More messages than buffers: each buffer is used again.
    for _ in 0..10 {
        pair.ends[0].post(&[small, large]).unwrap();
        for (bytes, text) in [(5, b"small"), (5000, b"large")] {
            let got = pair.next();
            assert_eq!(got.outcome, Outcome::Done(CompletionKind::Received { bytes, imm: 9 }));
            assert_eq!(got.queue_pair, pair.ends[1].number());
            let buffer = pair.receives.take(got.id).unwrap();
            assert!(pair.receives.take(got.id).is_none());
            assert_eq!(&buffer.bytes(bytes)[..5], text);
        }
    }
}

#[test]
#[ignore = "needs an RDMA device"]
fn a_window_lets_a_peer_read_write_and_do_atomics() {
    let pair = Pair::new();
    let (theirs, registration) = pair.memory(8192);
    let (mine, local) = pair.memory(8192);
    let (_window, remote) = pair.grant(&registration, &theirs.whole(), Rights::ALL);

    mine.whole().write_from(b"written").unwrap();
    let sges = [local.sge(&mine.slice(0, 7).unwrap()).unwrap()];
    assert_eq!(pair.run(0, WorkKind::Write { into: remote }, Payload::Gather(&sges)), SENT);
    assert_eq!(theirs.slice(0, 7).unwrap().to_vec(), b"written");

    let sges = [local.sge(&mine.slice(4096, 4096).unwrap()).unwrap()];
    assert_eq!(pair.run(0, WorkKind::Read { from: remote }, Payload::Gather(&sges)), SENT);
    assert_eq!(mine.slice(4096, 7).unwrap().to_vec(), b"written");

    let at = Remote { address: remote.address + 4096, ..remote };
    let sges = [local.sge(&mine.slice(0, 8).unwrap()).unwrap()];
    assert_eq!(pair.run(0, WorkKind::FetchAdd { at, add: 5 }, Payload::Gather(&sges)), SENT);
    let swap = WorkKind::CompareAndSwap { at, expected: 5, new: 9 };
    assert_eq!(pair.run(0, swap, Payload::Gather(&sges)), SENT);
    assert_eq!(mine.slice(0, 8).unwrap().to_vec(), 5u64.to_le_bytes());
    assert_eq!(theirs.slice(4096, 8).unwrap().to_vec(), 9u64.to_le_bytes());

    let write = WorkKind::WriteImm { into: remote, imm: 0xfedc_ba98 };
    let sges = [local.sge(&mine.slice(0, 6000).unwrap()).unwrap()];
    let work = Work { id: 3, signaled: false, kind: write, payload: Payload::Gather(&sges) };
    pair.ends[0].post(&[work]).unwrap();
    let got = pair.next();
    assert_eq!(got.outcome, Outcome::Done(CompletionKind::Written { bytes: 6000, imm: 0xfedc_ba98 }));
    assert!(pair.receives.take(got.id).is_some());
}

#[test]
#[ignore = "needs an RDMA device"]
fn a_window_refuses_what_it_does_not_give() {
    let read = |pair: &Pair, remote| {
        let (mine, local) = pair.memory(4096);
        let sges = [local.sge(&mine.slice(0, 64).unwrap()).unwrap()];
        pair.run(0, WorkKind::Read { from: remote }, Payload::Gather(&sges))
    };
    let pair = Pair::new();
    let (theirs, registration) = pair.memory(8192);
    let (_window, remote) = pair.grant(&registration, &theirs.slice(0, 4096).unwrap(), Rights::WRITE);
    assert_eq!(read(&pair, remote), Outcome::Denied);

    let pair = Pair::new();
    let (theirs, registration) = pair.memory(8192);
    let (window, remote) = pair.grant(&registration, &theirs.whole(), Rights::READ);
    assert_eq!(read(&pair, remote), SENT);
    drop(window);
    assert_eq!(read(&pair, remote), Outcome::Denied);
}

#[test]
#[ignore = "needs an RDMA device"]
fn a_window_refuses_what_lies_beside_it_if_it_is_all_of_its_registration_or_the_device_checks() {
    for exact in [true, false] {
        let pair = Pair::new();
        let (theirs, mut registration) = pair.memory(8192);
        let range = theirs.slice(64, 4096).unwrap();
        if exact {
            registration = Arc::new(Registration::new(&pair.domain, &range, Access::Windows).unwrap());
        }
        let (_window, remote) = pair.grant(&registration, &range, Rights::READ);
        let (mine, local) = pair.memory(4096);
        let sges = [local.sge(&mine.slice(0, 64).unwrap()).unwrap()];
        let last = Remote { address: remote.address + 4032, ..remote };
        assert_eq!(pair.run(0, WorkKind::Read { from: last }, Payload::Gather(&sges)), SENT);
        let beside = Remote { address: remote.address + 4033, ..remote };
        let outcome = pair.run(0, WorkKind::Read { from: beside }, Payload::Gather(&sges));
        let refused = exact || pair.device.limits().unwrap().window_range_checked;
        assert_eq!(outcome == Outcome::Denied, refused, "{outcome:?}");
    }
}

#[test]
#[ignore = "needs an RDMA device"]
fn a_failed_queue_pair_flushes_what_is_posted() {
    let pair = Pair::new();
    pair.ends[0].fail().unwrap();
    assert_eq!(pair.run(0, WorkKind::Send { imm: 9 }, Payload::Inline(b"late")), Outcome::Flushed);
}

#[test]
#[ignore = "needs an RDMA device"]
fn an_armed_queue_wakes_its_channel() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let pair = Pair::new();
    pair.completions.arm().unwrap();
    pair.ends[0]
        .post(&[Work {
            id: 1,
            signaled: false,
            kind: WorkKind::Send { imm: 9 },
            payload: Payload::Inline(b"x"),
        }])
        .unwrap();
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut files = [PollFd::new(pair.completions.channel(), PollFlags::IN)];
    assert_eq!(poll(&mut files, Some(&limit)).unwrap(), 1);
    pair.completions.take_wakeups();
    assert_eq!(pair.next().outcome, Outcome::Done(CompletionKind::Received { bytes: 1, imm: 9 }));
    let mut files = [PollFd::new(pair.completions.channel(), PollFlags::IN)];
    assert_eq!(poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap(), 0);
}
