//! What is left of a node when its daemon has ended, however that happened: a small process that has a copy of every userfaultfd and of
//! every memory file that programs share.
//!
//! Without it the kernel would let go of the programs' mappings, and what isn't mapped would read as zeros. So it takes all pages away
//! and answers every fault with SIGBUS, until the last of these programs has ended. While the daemon lives it only holds on to what
//! it is given.

mod holding;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};

pub use holding::run;

/// The subcommand that this program is started again with.
pub const COMMAND: &str = "keeper";

/// This program, also if it was deleted or replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What the keeper is told, as the first byte of a packet; a number of 8 bytes follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A process, with its userfaultfd.
    Process,
    ProcessGone,
    /// A memory file, by its inode.
    File,
    FileGone,
}

pub(super) const PACKET_BYTES: usize = 9;

impl Told {
    const ALL: [Self; 4] = [Self::Process, Self::ProcessGone, Self::File, Self::FileGone];

    fn to_bytes(self, number: u64) -> [u8; PACKET_BYTES] {
        let mut bytes = [0; PACKET_BYTES];
        let (kind, rest) = bytes.split_at_mut(1);
        kind.fill(self as u8);
        rest.copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<(Self, u64)> {
        let (kind, number) = bytes.split_first()?;
        let told = Self::ALL.into_iter().find(|told| *told as u8 == *kind)?;
        Some((told, u64::from_ne_bytes(number.try_into().ok()?)))
    }
}

struct Started {
    socket: OwnedFd,
    /// It ends with the last program that it knows of, so nobody waits for it.
    _child: Child,
}

/// The daemon's end. The keeper is started when it is needed for the first time.
#[derive(Default)]
pub(super) struct Keeper(Mutex<Option<Started>>);

impl Keeper {
    /// Whether there is one, by now.
    pub(super) fn start(&self) -> Result<(), Errno> {
        let mut started = self.0.lock();
        if started.is_none() {
            *started = Some(start()?);
        }
        Ok(())
    }

    /// Never waits. Before the first `start` there is nobody to tell.
    pub(super) fn tell(&self, told: Told, number: u64, file: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let started = self.0.lock();
        let Some(started) = &*started else { return Ok(()) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = file.map(|file| [file]);
        if let Some(files) = &files {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let bytes = told.to_bytes(number);
        sendmsg(started.socket.as_fd(), &[IoSlice::new(&bytes)], &mut control, flags).map(drop)
    }
}

fn start() -> Result<Started, Errno> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let child = Command::new(THIS_PROGRAM)
        .arg(COMMAND)
        .current_dir("/")
        // What is sent to the daemon's group, such as Ctrl-C, is not meant for it.
        .process_group(0)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Ok(Started { socket: ours, _child: child }),
        Err(error) => {
            tracing::error!(%error, "cannot start the process that guards programs against the daemon's death");
            Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood_and_nothing_else() {
        for told in Told::ALL {
            assert_eq!(Told::from_bytes(&told.to_bytes(77)), Some((told, 77)));
        }
        assert_eq!(Told::from_bytes(&[9; PACKET_BYTES]), None);
        assert_eq!(Told::from_bytes(&[0; 3]), None);
    }
}
