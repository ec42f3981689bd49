//! What the RPC layer adds to a round trip, in nanoseconds. Two nodes of one process whose fabric is a function call
//! (one copy of the bytes, as a socket makes), so that nothing but this layer is measured:
//!
//! - `raw`: the request's bytes to the peer's handler and an answer back, without RPC;
//! - `rpc`: the same through codec, session and driver on both sides.
//!
//! `cargo bench -p scios --bench rpc` prints the medians of interleaved rounds.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use scios::memory::{Region, RegionId, RegionSlice};
use scios::rpc::codec::{DecodeError, Message, Reader, Request, Writer};
use scios::rpc::session::{Incoming, Session};
use scios::rpc::{CallSpec, Responder, Rpc, Service};
use scios::verbs::{Event, Fabric, FabricError, Handler, OpId, Operation, RemoteKey, Rights, SendError};
use scios::{Epoch, Nanos, NodeId};

const ROUNDS: usize = 15;
const CALLS: u32 = 20_000;

struct Wire {
    id: NodeId,
    peer: NodeId,
    to: OnceLock<Arc<dyn Handler>>,
}

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Fabric for Wire {
    fn send(&self, _: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), SendError> {
        let mut bytes = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(head);
        for slice in body {
            let start = bytes.len();
            bytes.resize(start + slice.bytes(), 0);
            slice.read_to(&mut bytes[start..]).expect("the room was made");
        }
        if let Some(to) = self.to.get() {
            to.on_event(Event::Message { peer: self.id, bytes: &bytes });
        }
        BUFFERS.with_borrow_mut(|buffers| buffers.push(bytes));
        Ok(())
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
    fn start(&self, handler: Arc<dyn Handler>) -> Result<(), FabricError> {
        handler.on_event(Event::Up { peer: self.peer, address: "" });
        Ok(())
    }
    fn connect(&self, _: &str) -> Result<(), FabricError> {
        Ok(())
    }
    fn disconnect(&self, _: NodeId) {}
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
    fn stop(&self) {}
}

/// 64 bytes on the wire with the frame's header.
struct Ask([u64; 5]);

impl Message for Ask {
    const KIND: u16 = 300;
    const FENCED: bool = true;
    fn encode(&self, to: &mut Writer) {
        self.0.iter().for_each(|value| to.u64(*value));
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self([from.u64()?, from.u64()?, from.u64()?, from.u64()?, from.u64()?]))
    }
}

struct Told([u64; 5]);

impl Message for Told {
    const KIND: u16 = 301;
    const FENCED: bool = true;
    const BODY_BYTES_MAX: usize = 65_536;
    fn encode(&self, to: &mut Writer) {
        Ask(self.0).encode(to);
    }
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ask::decode(from).map(|ask| Self(ask.0))
    }
}

impl Request for Ask {
    type Reply = Told;
    const IDEMPOTENT: bool = true;
}

/// Answers with its body behind what was asked.
struct Answering(Vec<RegionSlice>);

impl Service for Answering {
    fn request(&self, _: NodeId, message: Incoming<'_>, responder: Responder) {
        let ask = message.decode::<Ask>().expect("the bench's own message");
        responder.reply(&Told(ask.0), &self.0).expect("the fabric takes everything");
    }
    fn one_way(&self, _: NodeId, _: Incoming<'_>) {}
}

/// The same without RPC.
struct RawAnswer {
    fabric: Arc<Wire>,
    body: Vec<RegionSlice>,
}

impl Handler for RawAnswer {
    fn on_event(&self, event: Event<'_>) {
        if let Event::Message { peer, bytes } = event {
            self.fabric.send(peer, bytes, &self.body).expect("the fabric takes everything");
        }
    }
}

struct RawEnd(AtomicU64);

impl Handler for RawEnd {
    fn on_event(&self, event: Event<'_>) {
        if let Event::Message { bytes, .. } = event {
            self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

fn wires() -> [Arc<Wire>; 2] {
    let [a, b] = [1, 2].map(|id| NodeId::new(id).expect("not zero"));
    [(a, b), (b, a)].map(|(id, peer)| Arc::new(Wire { id, peer, to: OnceLock::new() }))
}

fn raw(body: &[RegionSlice]) -> impl FnMut() + use<> {
    let [a, b] = wires();
    let end = Arc::new(RawEnd(AtomicU64::new(0)));
    let answer = Arc::new(RawAnswer { fabric: b.clone(), body: body.to_vec() });
    let _ = (a.to.set(answer), b.to.set(end));
    move || a.send(a.peer, black_box(&[0; 64]), &[]).expect("the fabric takes everything")
}

fn rpc(body: &[RegionSlice]) -> impl FnMut() + use<> {
    let [a, b] = wires();
    let (asking, answering) = (Rpc::new(a.clone()), Rpc::new(b.clone()));
    answering.serve(256..=u16::MAX, Arc::new(Answering(body.to_vec())));
    let _ = (a.to.set(answering.clone()), b.to.set(asking.clone()));
    asking.start().expect("starts");
    answering.start().expect("starts");
    let done = Arc::new(AtomicU64::new(0));
    move || {
        let done = done.clone();
        asking.call(a.peer, &Ask([1; 5]), &[], Duration::from_secs(1), move |answer| {
            let answer = answer.expect("it is answered");
            done.fetch_add(answer.body.len() as u64 + answer.message.0[0], Ordering::Relaxed);
        });
    }
}

/// Both sessions of a round trip with their codec, without driver and fabric.
fn sessions() -> impl FnMut() {
    let now = Nanos(1);
    let [mut a, mut b] = [0, 1].map(|_| Session::<u32>::new(Epoch(1)));
    a.up(now);
    b.up(now);
    let (mut ask, mut told, mut frame) = (Writer::new(), Writer::new(), Vec::new());
    let spec = CallSpec { kind: 300, fenced: true, idempotent: true, deadline: Duration::from_secs(1) };
    move || {
        ask.clear();
        Ask(black_box([1; 5])).encode(&mut ask);
        a.call(now, &spec, &mut ask, &[], 7).expect("there is room");
        copy_frame(&ask, &mut frame);
        let Ok(scios::rpc::session::Received::Request { id, message }) = b.receive(now, &frame) else {
            unreachable!("a request arrives as one")
        };
        let got = message.decode::<Ask>().expect("the bench's own message");
        told.clear();
        Told(got.0).encode(&mut told);
        b.reply(id, 301, true, &mut told, &[]).expect("there is room");
        copy_frame(&told, &mut frame);
        black_box(a.receive(now, &frame).expect("an answer"));
    }
}

fn copy_frame(message: &Writer, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(message.frame());
}

type Work = Box<dyn FnMut()>;

/// Time of this thread on a processor: what others do on the machine doesn't count.
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn measure(work: &mut dyn FnMut()) -> f64 {
    let start = thread_ns();
    for _ in 0..CALLS {
        work();
    }
    (thread_ns() - start) / f64::from(CALLS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let page = [Region::new("bench", 4096).expect("memory").whole()];
    let mut works: [(&str, Work); 5] = [
        ("sessions and codec only, 64 B -> 64 B", Box::new(sessions())),
        ("raw fabric, 64 B -> 64 B", Box::new(raw(&[]))),
        ("rpc, 64 B -> 64 B", Box::new(rpc(&[]))),
        ("raw fabric, 64 B -> 4 KiB", Box::new(raw(&page))),
        ("rpc, 64 B -> 4 KiB", Box::new(rpc(&page))),
    ];
    let mut times = vec![Vec::new(); works.len()];
    for round in 0..=ROUNDS {
        for ((_, work), times) in works.iter_mut().zip(&mut times) {
            let time = measure(work.as_mut());
            if round > 0 {
                times.push(time);
            }
        }
    }
    for ((name, _), times) in works.iter().zip(times) {
        println!("{name:<40} {:>8.0} ns a round trip", median(times));
    }
}
