//! The way to the other side: a call in the same process, or a connection.

use std::io;
use std::ops::Range;
use std::sync::Weak;

use parking_lot::Mutex;

use super::side::Side;
use crate::wire::{self, Ask, Gives, Socket};

pub(super) enum Link {
    Beside(Weak<Side>),
    Tcp(Mutex<Socket>),
}

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
            Self::Tcp(socket) => wire::ask(&socket.lock(), ask, run, into),
        }
    }
}
