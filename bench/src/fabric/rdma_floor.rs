//! The floor of RDMA: what a minimal C program does with two queue pairs, and nothing else. One thread, one connection, short
//! messages inline, pages straight from registered memory, every sixteenth message signaled.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use scios::memory::Region;
use scios::verbs::rdma::ffi::{
    Access, Channel, Completion, CompletionKind, CompletionQueue, Device, Gid, Library, Outcome, PathToPeer,
    Payload, Port, ProtectionDomain, QueuePair, QueuePairSizes, ReceiveQueue, Registration, Sge, VerbsError,
    Work, WorkKind,
};

use super::BenchError;
use super::workload::{REQUEST_BYTES, WARM_UP, Workload};
use crate::mode::Mode;
use crate::report::median;
use crate::sweep::PAGE_BYTES;

const MESSAGE_BYTES_MAX: usize = 16 * PAGE_BYTES;
const RECEIVES: u32 = 256;
const WORKS: u32 = 256;
const SIGNAL_EVERY: u64 = 16;
/// Messages of a stream that have been posted and not acknowledged.
const WINDOW: u64 = 64;
const READS: u8 = 4;

/// What a request asks for, in its first bytes: the length of the answer, or that a stream has ended.
const STREAM_END: u64 = u64::MAX;

struct Verbs {
    queue_pair: QueuePair,
    completions: Arc<CompletionQueue>,
    receives: Arc<ReceiveQueue>,
    message: Registration,
    mode: Mode,
    posted: u64,
    acknowledged: u64,
    taken: std::collections::VecDeque<Completion>,
}

fn verbs_error(error: VerbsError) -> BenchError {
    BenchError::Fabric(scios::verbs::FabricError::Verbs { what: error.to_string() })
}

fn socket_error(what: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |source| BenchError::Socket { what, source }
}

fn stuck(what: &str) -> BenchError {
    BenchError::Event(what.into())
}

impl Verbs {
    /// Exchanges addresses over the socket and connects.
    fn connect(socket: &mut TcpStream, mode: Mode) -> Result<Self, BenchError> {
        let device = Library::load().and_then(|library| library.devices()).map_err(verbs_error)?.remove(0);
        let (port, gid) = place(&device).map_err(verbs_error)?;
        let mut this = Self::new(&device, mode).map_err(verbs_error)?;
        let mut theirs = [0; 20];
        let mine = [&this.queue_pair.number().to_le_bytes()[..], &gid.raw].concat();
        socket.write_all(&mine).map_err(socket_error("exchange"))?;
        socket.read_exact(&mut theirs).map_err(socket_error("exchange"))?;
        let (number, their_gid) = theirs.split_first_chunk().ok_or_else(|| stuck("half an address"))?;
        let path = PathToPeer {
            local_port: port.number,
            local_gid_index: gid.index,
            local_packet: 0,
            queue_pair: u32::from_le_bytes(*number),
            packet: 0,
            gid: their_gid.try_into().map_err(|_| stuck("half an address"))?,
            lid: port.lid,
            mtu: port.mtu,
            reads_asked: READS,
            reads_answered: READS,
        };
        this.queue_pair.connect(&path).map_err(verbs_error)?;
        // Both are ready when both have said so.
        socket.write_all(b"r").map_err(socket_error("exchange"))?;
        socket.read_exact(&mut [0]).map_err(socket_error("exchange"))?;
        this.mode = mode;
        Ok(this)
    }

    fn new(device: &Arc<Device>, mode: Mode) -> Result<Self, VerbsError> {
        let domain = ProtectionDomain::new(device)?;
        let completions = CompletionQueue::new(&Channel::new(device)?, RECEIVES + WORKS)?;
        let receives = ReceiveQueue::new(&domain, RECEIVES, MESSAGE_BYTES_MAX)?;
        let sizes = QueuePairSizes { works: WORKS, gather: 1, inline_bytes: REQUEST_BYTES as u32 };
        let queue_pair = QueuePair::new(&domain, &completions, &receives, sizes)?;
        let region = Region::new("floor", MESSAGE_BYTES_MAX as u64).map_err(|error| VerbsError::Call {
            operation: "memory",
            source: std::io::Error::other(error),
        })?;
        let message = Registration::new(&domain, &region.whole(), Access::Local)?;
        let taken = std::collections::VecDeque::new();
        Ok(Self { queue_pair, completions, receives, message, mode, posted: 0, acknowledged: 0, taken })
    }

    fn next(&mut self) -> Result<Completion, BenchError> {
        loop {
            if let Some(first) = self.taken.pop_front() {
                return Ok(first);
            }
            if self.poll()? > 0 || self.mode == Mode::Spinning {
                continue;
            }
            self.completions.arm().map_err(verbs_error)?;
            if self.poll()? == 0 {
                let mut files = [PollFd::new(self.completions.channel(), PollFlags::IN)];
                rustix::event::poll(&mut files, None).map_err(|errno| socket_error("poll")(errno.into()))?;
                self.completions.take_wakeups();
            }
        }
    }

    fn poll(&mut self) -> Result<usize, BenchError> {
        let taken = &mut self.taken;
        self.completions.poll(|completion| taken.push_back(completion)).map_err(verbs_error)
    }

    /// The first bytes and the length of the next message.
    fn receive(&mut self) -> Result<(u64, usize), BenchError> {
        loop {
            let next = self.next()?;
            match next.outcome {
                Outcome::Done(CompletionKind::Received { bytes, .. }) => {
                    let buffer = self.receives.take(next.id).ok_or_else(|| stuck("a lost buffer"))?;
                    let asked =
                        buffer.bytes(bytes).first_chunk().map_or(0, |asked| u64::from_le_bytes(*asked));
                    return Ok((asked, bytes));
                }
                Outcome::Done(_) => self.acknowledged = next.id,
                other => return Err(BenchError::Event(format!("{other:?}"))),
            }
        }
    }

    fn send(&mut self, payload: Payload<'_>) -> Result<(), BenchError> {
        self.posted += 1;
        let signaled = self.posted.is_multiple_of(SIGNAL_EVERY);
        let work = Work { id: self.posted, signaled, kind: WorkKind::Send { imm: 0 }, payload };
        self.queue_pair.post(&[work]).map_err(verbs_error)
    }

    fn ask(&mut self, what: u64) -> Result<(), BenchError> {
        let mut request = [0; REQUEST_BYTES];
        if let Some(first) = request.first_chunk_mut() {
            *first = what.to_le_bytes();
        }
        self.send(Payload::Inline(&request))
    }

    fn message(&self, bytes: usize) -> Result<Sge, BenchError> {
        let part = self.message.slice().part(0, bytes)?;
        self.message.sge(&part).ok_or_else(|| stuck("memory that isn't registered"))
    }
}

fn place(device: &Device) -> Result<(Port, Gid), VerbsError> {
    let port = device.ports()?.into_iter().find(|port| port.active);
    port.and_then(|port| {
        let gid = device.gids(&port).into_iter().find(|gid| gid.ip().is_ipv4())?;
        Some((port, gid))
    })
    .ok_or_else(|| VerbsError::NoPort { what: device.name().into() })
}

pub(super) fn serve(mode: Mode, ready: impl FnOnce(&str)) -> Result<(), BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(socket_error("bind"))?;
    let address = listener.local_addr().map_err(socket_error("bind"))?.to_string();
    std::thread::spawn(move || -> Result<(), BenchError> {
        let (mut socket, _) = listener.accept().map_err(socket_error("accept"))?;
        let mut verbs = Verbs::connect(&mut socket, mode)?;
        loop {
            match verbs.receive()? {
                (STREAM_END, REQUEST_BYTES) => verbs.ask(STREAM_END)?,
                (bytes, REQUEST_BYTES) if bytes > REQUEST_BYTES as u64 => {
                    let sges = [verbs.message(bytes as usize)?];
                    verbs.send(Payload::Gather(&sges))?;
                }
                (bytes, REQUEST_BYTES) => verbs.ask(bytes)?,
                _ => {}
            }
        }
    });
    ready(&address);
    Ok(())
}

pub(super) fn drive(
    address: &str,
    mode: Mode,
    workload: Workload,
    repeats: usize,
) -> Result<f64, BenchError> {
    let mut socket = TcpStream::connect(address).map_err(socket_error("connect"))?;
    let mut verbs = Verbs::connect(&mut socket, mode)?;
    match workload {
        Workload::RoundTrip { answer_bytes } => {
            let mut times = Vec::with_capacity(repeats);
            for round in 0..WARM_UP + repeats {
                let begun = Instant::now();
                verbs.ask(answer_bytes as u64)?;
                verbs.receive()?;
                if round >= WARM_UP {
                    times.push(begun.elapsed().as_nanos() as f64);
                }
            }
            Ok(median(&mut times))
        }
        Workload::Stream { message_bytes } => {
            stream_of(&mut verbs, message_bytes, WARM_UP)?;
            stream_of(&mut verbs, message_bytes, repeats)
        }
    }
}

fn stream_of(verbs: &mut Verbs, message_bytes: usize, repeats: usize) -> Result<f64, BenchError> {
    let sges = [verbs.message(message_bytes)?];
    let begun = Instant::now();
    for _ in 0..repeats {
        while verbs.posted - verbs.acknowledged >= WINDOW {
            let next = verbs.next()?;
            match next.outcome {
                Outcome::Done(_) => verbs.acknowledged = next.id,
                other => return Err(BenchError::Event(format!("{other:?}"))),
            }
        }
        verbs.send(Payload::Gather(&sges))?;
    }
    verbs.ask(STREAM_END)?;
    verbs.receive()?;
    Ok(begun.elapsed().as_nanos() as f64 / (message_bytes * repeats) as f64)
}
