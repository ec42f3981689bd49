//! The way from one side of the floor to the other: a call in the same process, or one TCP connection a direction, on which a
//! request of 64 bytes is answered by pages.

use std::io;
use std::ops::Range;
use std::sync::Weak;

use parking_lot::Mutex;

use super::side::Side;
use super::socket::Socket;
use crate::mount::workload::PAGE_BYTES;

/// What one side wants of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
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
    pub(super) fn carries_pages(self) -> bool {
        matches!(self, Self::Share | Self::Take)
    }
}

pub(super) enum Link {
    Beside(Weak<Side>),
    Tcp(Mutex<Socket>),
}

const REQUEST_BYTES: usize = 64;

impl Link {
    /// Waits for the answer. `into` is as long as the pages that `ask` brings.
    pub(super) fn ask(&self, ask: Ask, run: &Range<usize>, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Beside(side) => {
                let side = side.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                side.give(ask, run.clone(), |bytes| {
                    if let Some(into) = into.get_mut(..bytes.len()) {
                        into.copy_from_slice(bytes);
                    }
                    Ok(())
                })
            }
            Self::Tcp(socket) => {
                let socket = socket.lock();
                socket.send(&request(ask, run))?;
                if into.is_empty() { socket.receive(&mut [0; REQUEST_BYTES]) } else { socket.receive(into) }
            }
        }
    }
}

/// Answers the other side's requests until it is gone.
pub(super) fn answer(side: &Side, socket: &Socket) -> io::Result<()> {
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

pub(super) fn bytes_of(run: &Range<usize>) -> Range<usize> {
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
