//! The conversation of this process with one node's daemon: a socket of packets, one question and one answer at a time.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::abi::{self, Done, Hello, Map, Name, Segment, Ticket, Welcome, kind};
use crate::attach::Why;
use crate::sys;

/// A daemon that doesn't answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Descriptors from here on, where there is room: programs count on small numbers.
const DESCRIPTOR_MIN: i32 = 900;

#[derive(Debug)]
pub(crate) struct Session {
    name: Name,
    socket: OwnedFd,
    /// What the descriptor was when it was ours: programs close what they don't know, and the number is given to another file.
    identity: (u64, u64),
    pub(crate) follows_forks: bool,
}

impl Session {
    /// Connects to the socket with that name and hands over a new userfaultfd.
    pub(crate) fn open(name: &Name) -> Result<Self, Why> {
        let userfault = sys::userfault().map_err(|errno| match errno {
            Errno::PERM => Why::NoUserfault,
            errno => Why::Failed { doing: "open a userfaultfd", errno },
        })?;
        let connected = connect(name).and_then(|socket| Ok((identity(&socket)?, socket)));
        let (identity, socket) =
            connected.map_err(|errno| Why::Failed { doing: "connect to the node", errno })?;
        let mut session = Self { name: *name, socket, identity, follows_forks: false };
        let hello = Hello { kind: kind::HELLO, version: abi::VERSION };
        let (answer, _) = session.ask(&hello.to_bytes(), Some(userfault.as_fd()))?;
        let welcome = Welcome::from_bytes(&answer).map_err(|_| Why::Version)?;
        accepted("offer a userfaultfd", welcome.errno)?;
        session.follows_forks = welcome.flags & abi::FOLLOWS_FORKS != 0;
        Ok(session)
    }

    pub(crate) fn is_of(&self, name: &Name) -> bool {
        self.name == *name && identity(&self.socket).is_ok_and(|now| now == self.identity)
    }

    /// The memory of the file that the ticket is for.
    pub(crate) fn segment(&self, ticket: Ticket) -> Result<OwnedFd, Why> {
        let question = Segment { kind: kind::SEGMENT, reserved: 0, ticket };
        let (answer, memory) = self.ask(&question.to_bytes(), None)?;
        let done = Done::from_bytes(&answer).map_err(|_| Why::Version)?;
        accepted("get the file's memory", done.errno)?;
        memory.ok_or(Why::Version)
    }

    /// From the answer on, the daemon serves the faults of this range.
    pub(crate) fn map(&self, inode: u64, address: usize, bytes: u64, offset: u64) -> Result<(), Why> {
        let question = Map { kind: kind::MAP, reserved: 0, inode, address: address as u64, bytes, offset };
        let (answer, _) = self.ask(&question.to_bytes(), None)?;
        let done = Done::from_bytes(&answer).map_err(|_| Why::Version)?;
        accepted("have the mapping served", done.errno)
    }

    /// In a child: lets go of the parent's socket, if it still is that.
    pub(crate) fn abandon(self) {
        if identity(&self.socket).is_ok_and(|now| now == self.identity) {
            return;
        }
        // Somebody else's file by now.
        let _ = self.socket.into_raw_fd();
    }

    fn ask(&self, question: &[u8], file: Option<BorrowedFd<'_>>) -> Result<(Vec<u8>, Option<OwnedFd>), Why> {
        send(&self.socket, question, file).and_then(|()| receive(&self.socket)).map_err(|errno| match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Why::Lost,
            errno => Why::Failed { doing: "talk to the node", errno },
        })
    }
}

fn accepted(doing: &'static str, errno: i32) -> Result<(), Why> {
    match errno {
        0 => Ok(()),
        errno => Err(Why::Failed { doing, errno: Errno::from_raw_os_error(errno) }),
    }
}

fn connect(name: &Name) -> Result<OwnedFd, Errno> {
    let text = abi::text_of(name).ok_or(Errno::INVAL)?;
    let address = SocketAddrUnix::new_abstract_name(text.as_bytes())?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(&socket, DESCRIPTOR_MIN).unwrap_or(socket);
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

fn identity(socket: &OwnedFd) -> Result<(u64, u64), Errno> {
    let about = rustix::fs::fstat(socket)?;
    Ok((about.st_dev, about.st_ino))
}

fn send(socket: &OwnedFd, packet: &[u8], file: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let files = file.as_slice();
    rustix::io::retry_on_intr(|| {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        rustix::net::sendmsg(socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)
    })
    .map(drop)
}

fn receive(socket: &OwnedFd) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let mut packet = [0; abi::PACKET_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut file = None;
    let received = rustix::io::retry_on_intr(|| {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received =
            rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                file = files.last();
            }
        }
        Ok(received)
    })?;
    match packet.get(..received.bytes) {
        None | Some([]) => Err(Errno::PIPE),
        Some(bytes) => Ok((bytes.to_vec(), file)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .unwrap()
    }

    #[test]
    fn a_packet_arrives_with_its_descriptor() {
        let (here, there) = pair();
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        send(&here, b"with", Some(file.as_fd())).unwrap();
        send(&here, b"without", None).unwrap();
        let (packet, got) = receive(&there).unwrap();
        assert_eq!(packet, b"with");
        assert_eq!(identity(&got.unwrap()), identity(&file));
        assert!(matches!(receive(&there), Ok((packet, None)) if packet == b"without"));
    }

    #[test]
    fn a_daemon_that_is_gone_is_noticed() {
        let (here, there) = pair();
        drop(there);
        assert_eq!(receive(&here).map(drop), Err(Errno::PIPE));
        assert_eq!(send(&here, b"x", None), Err(Errno::PIPE));
        assert!(matches!(
            Session::open(&abi::name("scifs-nobody-listens").unwrap()),
            Err(Why::Failed { .. } | Why::NoUserfault)
        ));
    }

    #[test]
    fn a_descriptor_that_became_another_file_is_left_alone() {
        let (here, _there) = pair();
        let (dev, inode) = identity(&here).unwrap();
        let name = abi::name("n").unwrap();
        let raw = here.as_raw_fd();
        let session = Session { name, socket: here, identity: (dev, inode + 1), follows_forks: false };
        assert!(!session.is_of(&name));
        session.abandon();
        assert!(std::fs::read_link(format!("/proc/self/fd/{raw}")).is_ok(), "still open");
    }
}
