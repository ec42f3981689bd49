//! What the node is made of while one membership lasts.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::io::Errno;
use scios::memory::Memory;
use scios::node::AnyCluster;

use super::answer::{errno, mismatch};
use crate::locks::Locks;
use crate::names::{FileInfo, Found, Inode, NamesClient, Query};
use crate::node::{self, File, PageFault, Pages};
use crate::sync::Waits;

/// One membership's parts. Requests hold on to those that they began with, and end with an error when these end.
#[derive(Debug)]
pub struct Present {
    pub names: Arc<NamesClient>,
    pub pages: Arc<Pages>,
    /// There from the first view on.
    pub locks: OnceLock<Arc<Locks>>,
    pub waits: OnceLock<Arc<Waits>>,
    pub cluster: Arc<AnyCluster>,
    pub memory: Arc<Memory>,
}

impl Present {
    pub(super) fn locks(&self) -> Result<&Arc<Locks>, Errno> {
        self.locks.get().ok_or(Errno::IO)
    }

    pub(super) fn waits(&self) -> Result<&Arc<Waits>, Errno> {
        self.waits.get().ok_or(Errno::IO)
    }

    /// Lets pages know how much memory the others have, so that new ones get their home where there is room.
    pub(super) fn tell_free_memory(&self) {
        let status = self.cluster.status();
        for said in &status.announcements {
            if let Some(member) = status.view.member(said.member) {
                self.pages.free_memory().set(member.number, said.free);
            }
        }
        if let Some(own) = status.view.member(status.id) {
            self.pages.free_memory().set(own.number, self.memory.status().free_bytes);
        }
    }

    /// Everything about a regular file, from the leader.
    pub(super) fn info(&self, inode: Inode) -> Result<FileInfo, Errno> {
        match self.names.ask(&Query::File { inode }).map_err(errno)? {
            Found::File(info) => Ok(info),
            _ => Err(mismatch("file")),
        }
    }

    /// Takes over the layout that a command of this node has just made. The event does the same, a little later.
    pub(super) fn relay(&self, inode: Inode) -> Result<(), Errno> {
        match self.names.local(&Query::File { inode }).map_err(errno)? {
            Found::File(info) => self.file(&info).map(drop),
            _ => Err(mismatch("file")),
        }
    }

    /// The file as this node serves it, brought up to what the leader says.
    pub(super) fn file(&self, info: &FileInfo) -> Result<Arc<File>, Errno> {
        let file = self.pages.file(info.attr.inode).map_err(fault)?;
        self.pages.relayout(&file, &layout(&info.layout), info.attr.size);
        Ok(file)
    }
}

pub(super) fn layout(from: &crate::names::Layout) -> node::Layout {
    let piece = |piece: &crate::names::Piece| node::Piece {
        first_page: piece.first_page,
        generation: piece.generation,
    };
    node::Layout::new(from.pieces.iter().map(piece).collect())
}

/// What a program gets for a page that can't be had.
pub(super) fn fault(fault: PageFault) -> Errno {
    tracing::debug!(%fault, "a request for pages failed");
    match fault {
        PageFault::Full => Errno::NOSPC,
        PageFault::Gone => Errno::STALE,
        PageFault::Range => Errno::FBIG,
        PageFault::Busy => Errno::AGAIN,
        PageFault::Lost | PageFault::Ended | PageFault::Memory => Errno::IO,
    }
}

/// Longer than all that pages wait for.
const PAGES_MAX: Duration = Duration::from_secs(60);

/// Begins something and waits for its end. Only on lanes.
pub(super) fn wait<T: Send + 'static>(
    begin: impl FnOnce(Box<dyn FnOnce(Result<T, PageFault>) + Send>),
) -> Result<T, Errno> {
    wait_for(PAGES_MAX, Errno::IO, begin)
}

/// As `wait`, and ends with `late` if it takes longer.
pub(super) fn wait_for<T: Send + 'static>(
    patience: Duration,
    late: Errno,
    begin: impl FnOnce(Box<dyn FnOnce(Result<T, PageFault>) + Send>),
) -> Result<T, Errno> {
    let (tell, told) = sync_channel(1);
    begin(Box::new(move |result| {
        // Whoever has waited too long is gone.
        let _ = tell.send(result);
    }));
    told.recv_timeout(patience).map_err(|_| late)?.map_err(fault)
}
