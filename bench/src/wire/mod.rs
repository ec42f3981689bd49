//! The way from one side of a floor to the other: one TCP connection a direction, on which a request of 64 bytes is answered by
//! pages.

mod socket;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::time::Duration;

pub(crate) use self::socket::Socket;
use crate::sweep::PAGE_BYTES;

/// What one side wants of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A copy.
    Share = 1,
    /// The pages, and that nobody else has them.
    Take = 2,
    /// That nobody else has them; their bytes are here.
    Upgrade = 3,
    /// The lock.
    Lock = 4,
}

impl Ask {
    pub(crate) fn carries_pages(self) -> bool {
        matches!(self, Self::Share | Self::Take)
    }
}

/// A side that is asked.
pub(crate) trait Gives {
    /// Gives what is asked for; `send` gets the bytes, none where none were asked for.
    fn give(&self, ask: Ask, run: Range<usize>, send: impl FnOnce(&[u8]) -> io::Result<()>)
    -> io::Result<()>;
}

/// The two connections of a side.
pub(crate) struct Pair {
    /// On which it asks.
    pub(crate) ours: Socket,
    /// On which it is asked.
    pub(crate) theirs: Socket,
}

impl Pair {
    pub(crate) fn accept(listener: &TcpListener, spin: Duration) -> io::Result<Self> {
        let accept = || listener.accept().and_then(|(stream, _)| Socket::new(stream, spin));
        let (theirs, ours) = (accept()?, accept()?);
        Ok(Self { ours, theirs })
    }

    pub(crate) fn connect(address: &str, spin: Duration) -> io::Result<Self> {
        let connect = || TcpStream::connect(address).and_then(|stream| Socket::new(stream, spin));
        let (ours, theirs) = (connect()?, connect()?);
        Ok(Self { ours, theirs })
    }
}

const REQUEST_BYTES: usize = 64;

/// Waits for the answer. `into` is as long as the pages that `ask` brings.
pub(crate) fn ask(socket: &Socket, ask: Ask, run: &Range<usize>, into: &mut [u8]) -> io::Result<()> {
    socket.send(&request(ask, run))?;
    if into.is_empty() { socket.receive(&mut [0; REQUEST_BYTES]) } else { socket.receive(into) }
}

/// Answers the other side's requests until it is gone.
pub(crate) fn answer(side: &impl Gives, socket: &Socket) -> io::Result<()> {
    let mut bytes = [0; REQUEST_BYTES];
    loop {
        socket.receive(&mut bytes)?;
        let (ask, run) = parsed(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        side.give(ask, run, |pages| match pages {
            [] => socket.send(&[0; REQUEST_BYTES]),
            pages => socket.send(pages),
        })?;
    }
}

fn request(ask: Ask, run: &Range<usize>) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let fields = [ask as u64, run.start as u64, run.end as u64];
    for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn parsed(bytes: &[u8; REQUEST_BYTES]) -> Option<(Ask, Range<usize>)> {
    let field = |index: usize| {
        let bytes = bytes.get(index * 8..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*bytes)).ok()
    };
    let ask = [Ask::Share, Ask::Take, Ask::Upgrade, Ask::Lock]
        .into_iter()
        .find(|ask| Some(*ask as usize) == field(0))?;
    Some((ask, field(1)?..field(2)?))
}

pub(crate) fn bytes_of(run: &Range<usize>) -> Range<usize> {
    run.start * PAGE_BYTES..run.end * PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for ask in [Ask::Share, Ask::Take, Ask::Upgrade, Ask::Lock] {
            assert_eq!(parsed(&request(ask, &(3..77))), Some((ask, 3..77)));
        }
        assert_eq!(parsed(&[0; REQUEST_BYTES]), None);
    }
}
