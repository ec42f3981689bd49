//! The floor of TCP: what a minimal C program does with two sockets, and nothing else. One thread, one connection,
//! no framing: both ends know every length.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::BenchError;
use super::workload::{REQUEST_BYTES, WARM_UP, Workload};
use crate::mode::Mode;
use crate::report::median;
use crate::sweep::PAGE_BYTES;

/// The receiver's buffer, as large as the fabric's.
const BUFFER_BYTES: usize = 256 << 10;

/// What a request asks for, in its first bytes: the length of each answer, or a stream of that many bytes.
const STREAM: u64 = 1 << 63;

struct Socket {
    stream: TcpStream,
    flags: RecvFlags,
}

fn socket_error(what: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |source| BenchError::Socket { what, source }
}

impl Socket {
    fn new(stream: TcpStream, mode: Mode) -> Result<Self, BenchError> {
        stream.set_nodelay(true).map_err(socket_error("TCP_NODELAY"))?;
        let flags = match mode {
            Mode::Spinning => RecvFlags::DONTWAIT,
            Mode::Blocking => RecvFlags::empty(),
        };
        Ok(Self { stream, flags })
    }

    /// What one `recv` gives; 0 at the end.
    fn receive(&self, into: &mut [u8]) -> Result<usize, BenchError> {
        loop {
            match rustix::net::recv(&self.stream, &mut *into, self.flags) {
                Ok((got, _)) => return Ok(got),
                Err(Errno::AGAIN | Errno::INTR) => std::hint::spin_loop(),
                Err(error) => return Err(socket_error("recv")(error.into())),
            }
        }
    }

    /// True when all of `into` was received, false at the end.
    fn receive_all(&self, into: &mut [u8]) -> Result<bool, BenchError> {
        let mut filled = 0;
        while filled < into.len() {
            match self.receive(into.get_mut(filled..).unwrap_or_default())? {
                0 => return Ok(false),
                got => filled += got,
            }
        }
        Ok(true)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), BenchError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = rustix::net::send(&self.stream, rest, SendFlags::NOSIGNAL)
                .map_err(|error| socket_error("send")(error.into()))?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

pub(super) fn serve(mode: Mode, ready: impl FnOnce(&str)) -> Result<(), BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(socket_error("bind"))?;
    let address = listener.local_addr().map_err(socket_error("bind"))?.to_string();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(socket_error("accept"))?;
        answer(&Socket::new(stream, mode)?)
    });
    ready(&address);
    Ok(())
}

/// Where a page lies in any program that has pages: copying from an aligned one takes the kernel another time than
/// copying from the stack.
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

fn answer(socket: &Socket) -> Result<(), BenchError> {
    let mut request = [0u8; REQUEST_BYTES];
    let Page(page) = &*Box::new(Page([7; PAGE_BYTES]));
    let mut buffer = vec![0u8; BUFFER_BYTES];
    while socket.receive_all(&mut request)? {
        let asked = request.first_chunk().map_or(0, |asked| u64::from_le_bytes(*asked));
        if asked & STREAM == 0 {
            socket.send(page.get(..asked as usize).unwrap_or_default())?;
            continue;
        }
        let mut left = (asked & !STREAM) as usize;
        while left > 0 {
            let most = left.min(buffer.len());
            match socket.receive(buffer.get_mut(..most).unwrap_or_default())? {
                0 => return Ok(()),
                got => left -= got,
            }
        }
        socket.send(&request)?;
    }
    Ok(())
}

pub(super) fn drive(
    address: &str,
    mode: Mode,
    workload: Workload,
    repeats: usize,
) -> Result<f64, BenchError> {
    let stream = TcpStream::connect(address).map_err(socket_error("connect"))?;
    let socket = Socket::new(stream, mode)?;
    match workload {
        Workload::RoundTrip { answer_bytes } => round_trips(&socket, answer_bytes, repeats),
        Workload::Stream { message_bytes } => {
            stream_of(&socket, message_bytes, WARM_UP)?;
            stream_of(&socket, message_bytes, repeats)
        }
    }
}

fn round_trips(socket: &Socket, answer_bytes: usize, repeats: usize) -> Result<f64, BenchError> {
    let mut request = [0u8; REQUEST_BYTES];
    if let Some(first) = request.first_chunk_mut() {
        *first = (answer_bytes as u64).to_le_bytes();
    }
    let mut answer = vec![0u8; answer_bytes];
    let mut times = Vec::with_capacity(repeats);
    for round in 0..WARM_UP + repeats {
        let begun = Instant::now();
        socket.send(&request)?;
        socket.receive_all(&mut answer)?;
        if round >= WARM_UP {
            times.push(begun.elapsed().as_nanos() as f64);
        }
    }
    Ok(median(&mut times))
}

fn stream_of(socket: &Socket, message_bytes: usize, repeats: usize) -> Result<f64, BenchError> {
    let bytes = message_bytes * repeats;
    let mut request = [0u8; REQUEST_BYTES];
    if let Some(first) = request.first_chunk_mut() {
        *first = (bytes as u64 | STREAM).to_le_bytes();
    }
    let message = vec![7u8; message_bytes];
    let begun = Instant::now();
    socket.send(&request)?;
    for _ in 0..repeats {
        socket.send(&message)?;
    }
    socket.receive_all(&mut request)?;
    Ok(begun.elapsed().as_nanos() as f64 / bytes as f64)
}
