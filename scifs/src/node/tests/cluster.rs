//! Nodes, and the membership that they believe in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use scios::NodeId;
use scios::memory::Memory;
use scios::rpc::Rpc;
use scios::verbs::tcp::TcpFabric;
use scios::verbs::{Fabric, FabricConfig};

use super::super::{File, Files, Membership, NodeMember, NodeView, Pages, PagesConfig};
use super::kernel::{Kernel, LONG};

pub(super) struct Node {
    pub id: NodeId,
    pub rpc: Arc<Rpc>,
    pub pages: Arc<Pages>,
    pub kernel: Arc<Kernel>,
}

pub(super) struct Cluster {
    pub nodes: Vec<Node>,
    authority: Arc<Authority>,
}

/// The one place that decides who is a member.
struct Authority {
    state: Mutex<State>,
    to_tell: Sender<Told>,
}

struct State {
    view: NodeView,
    listeners: Vec<(NodeId, Weak<Pages>)>,
}

enum Told {
    View(NodeView, Vec<(NodeId, Weak<Pages>)>),
}

impl Authority {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.to_tell.send(Told::View(state.view.clone(), state.listeners.clone())).unwrap();
    }
}

struct Voice(Arc<Authority>);

impl Membership for Voice {
    fn may_act(&self) -> bool {
        true
    }

    fn report_break(&self, departures: u64) {
        self.0.change(|state| {
            if state.view.departures == departures {
                state.view.departures += 1;
                state.view.handed_over = None;
            }
        });
    }

    fn rejoin(&self, why: &str) {
        panic!("a node lost its way: {why}");
    }
}

pub(super) struct Setting {
    pub nodes: usize,
    pub memory_bytes: u64,
    pub workers: usize,
    pub hold_min: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self { nodes: 2, memory_bytes: 64 << 20, workers: 3, hold_min: super::super::limits::HOLD_MIN }
    }
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl Cluster {
    pub(super) fn new(setting: &Setting) -> Self {
        let (to_tell, told) = channel();
        let view = NodeView { departures: 1, members: Vec::new(), handed_over: None };
        let authority =
            Arc::new(Authority { state: Mutex::new(State { view, listeners: Vec::new() }), to_tell });
        std::thread::spawn(move || {
            while let Ok(Told::View(view, listeners)) = told.recv() {
                for (_, pages) in listeners {
                    if let Some(pages) = pages.upgrade() {
                        pages.view(&view);
                    }
                }
            }
        });
        let mut cluster = Self { nodes: Vec::new(), authority };
        (0..setting.nodes).for_each(|_| cluster.add(setting));
        // From the next epoch on all of them are registrars.
        cluster.authority.change(|state| state.view.departures += 1);
        eventually("everybody is told", || cluster.nodes.iter().all(|node| node.pages.epoch() == 2));
        cluster
    }

    pub(super) fn add(&mut self, setting: &Setting) {
        let id = NodeId::new(IDS.fetch_add(1, Ordering::Relaxed)).unwrap();
        let fabric = TcpFabric::new(FabricConfig::new(id)).unwrap();
        let rpc = Rpc::new(fabric as Arc<dyn Fabric>);
        let files = Files::new(&Memory::new(setting.memory_bytes).unwrap());
        let kernel = Kernel::new(setting.workers);
        let voice = Arc::new(Voice(Arc::clone(&self.authority)));
        let cache = Arc::clone(&kernel) as Arc<dyn super::super::KernelCache>;
        let config =
            PagesConfig { hold_min: setting.hold_min, ..PagesConfig::new(&rpc, &files, cache, voice) };
        let pages = Pages::new(config).unwrap();
        kernel.mount(&pages);
        rpc.start().unwrap();
        pages.serve();
        self.authority.change(|state| {
            let number = state.view.members.iter().map(|m| m.number + 1).max().unwrap_or(0);
            let address = rpc.fabric().address();
            // Only the founder is of the beginning.
            let joined = if number == 0 { 0 } else { state.view.departures };
            state.view.members.push(NodeMember { number, node: id, address, joined });
            state.listeners.push((id, Arc::downgrade(&pages)));
        });
        self.nodes.push(Node { id, rpc, pages, kernel });
        self.nodes.last().unwrap().write(u64::MAX >> 24, 0, b"a member").unwrap();
    }

    /// A node dies without a word.
    pub(super) fn kill(&mut self, at: usize) {
        self.take_out(at, None);
    }

    /// A node leaves in an orderly way. Whether all that it held is with others.
    pub(super) fn leave(&mut self, at: usize) -> bool {
        let handed_over_at = self.nodes[at].pages.hand_over();
        self.take_out(at, handed_over_at)
    }

    fn take_out(&mut self, at: usize, handed_over_at: Option<u64>) -> bool {
        let node = self.nodes.remove(at);
        self.take_out_of_view(node, handed_over_at)
    }

    /// Returns whether what it handed over when there were so many departures still counts.
    pub(super) fn take_out_of_view(&self, node: Node, handed_over_at: Option<u64>) -> bool {
        let id = node.id;
        self.authority.change(|state| state.listeners.retain(|(listener, _)| *listener != id));
        // Who leaves goes when the others know; who dies doesn't.
        let node = handed_over_at.map(|_| node);
        let mut kept = false;
        self.authority.change(|state| {
            kept = handed_over_at == Some(state.view.departures);
            let gone = state.view.members.iter().find(|member| member.node == id).map(|member| member.number);
            state.view.handed_over = gone.filter(|_| kept);
            state.view.departures += 1;
            state.view.members.retain(|member| member.node != id);
        });
        drop(node);
        kept
    }

    pub(super) fn departures(&self) -> u64 {
        self.authority.state.lock().view.departures
    }
}

impl Node {
    pub(super) fn file(&self, inode: u64) -> Arc<File> {
        self.pages.file(inode).unwrap()
    }

    pub(super) fn read(
        &self,
        inode: u64,
        offset: u64,
        bytes: usize,
    ) -> Result<Vec<u8>, super::super::PageFault> {
        let (tell, told) = channel();
        let file = self.file(inode);
        self.kernel.request(move |pages| {
            pages.read(&file, offset, bytes, move |result| tell.send(result).unwrap_or_default())
        });
        told.recv_timeout(LONG).expect("a read was never answered")
    }

    pub(super) fn write(&self, inode: u64, offset: u64, data: &[u8]) -> Result<(), super::super::PageFault> {
        let (tell, told) = channel();
        let (file, data) = (self.file(inode), data.to_vec());
        self.kernel.request(move |pages| {
            pages.write(&file, offset, data, move |result| tell.send(result).unwrap_or_default())
        });
        told.recv_timeout(LONG).expect("a write was never answered")
    }

    /// Opens a file for writing, as a thread that may wait.
    pub(super) fn open(&self, inode: u64) {
        self.pages.begin_writing(&self.file(inode));
    }

    /// A load of the number at the beginning of a mapped page.
    pub(super) fn load(&self, inode: u64, page: u32) -> u64 {
        let read =
            |bytes: &mut super::kernel::Bytes| (u64::from_le_bytes(*bytes.first_chunk().unwrap()), false);
        self.kernel.with(inode, page, read).unwrap()
    }

    /// An atomic increment of that number; gives the one before.
    pub(super) fn increment(&self, inode: u64, page: u32) -> u64 {
        let act = |bytes: &mut super::kernel::Bytes| {
            let number = bytes.first_chunk_mut().unwrap();
            let before = u64::from_le_bytes(*number);
            *number = (before + 1).to_le_bytes();
            (before, true)
        };
        self.kernel.with(inode, page, act).unwrap()
    }
}

impl Drop for Node {
    /// A crash, seen from outside.
    fn drop(&mut self) {
        self.rpc.stop();
        self.pages.end();
        self.pages.wipe();
        self.kernel.unmount();
    }
}

/// Waits for something that comes by itself.
pub(super) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
