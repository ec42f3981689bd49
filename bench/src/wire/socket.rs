//! A TCP connection that is waited for as SciFS waits: polled for a while, in which other threads may run, then blocking.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

pub(crate) struct Socket {
    stream: TcpStream,
    spin: Duration,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, spin: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, spin })
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = send(&self.stream, rest, SendFlags::NOSIGNAL)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Fills `into`, or fails with `UnexpectedEof`.
    pub(crate) fn receive(&self, into: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            match self.receive_some(into.get_mut(filled..).unwrap_or_default())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => filled += got,
            }
        }
        Ok(())
    }

    fn receive_some(&self, into: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        while begun.elapsed() < self.spin {
            match recv(&self.stream, &mut *into, RecvFlags::DONTWAIT) {
                Ok((got, _)) => return Ok(got),
                Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
                Err(errno) => return Err(errno.into()),
            }
        }
        loop {
            match recv(&self.stream, &mut *into, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => return Ok(other?.0),
            }
        }
    }
}
