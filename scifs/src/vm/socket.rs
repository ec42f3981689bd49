//! The socket that programs come to: one conversation a process, packets of `scifs_client::abi`.
//!
//! Who comes is a stranger: nothing that it sends or leaves out makes this wait, and everything that it can have is counted.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
    listen as listen_on, recvmsg, sendmsg, socket_with,
};
use rustix::rand::{GetRandomFlags, getrandom};
use scifs_client::abi::{self, Done, Hello, Map, Segment, Welcome, kind};
use scios::limits::{PAGE_BYTES, SEGMENT_BYTES_MAX};

use super::limits::{
    CONNECTIONS_MAX, CONNECTIONS_OF_A_USER_MAX, PACKETS_AT_ONCE, PROCESSES_MAX, PROTECT_FOR,
};
use super::process::{Process, Shared};
use super::service::Vm;
use super::uffd::{Span, Userfault};

const LISTENER: u64 = 0;
const BACKLOG: i32 = 128;
const READY_MAX: usize = 64;
const ROOT: u32 = 0;
const PAGE: u64 = PAGE_BYTES as u64;

/// An abstract name of its own.
pub(super) fn listen() -> Result<(OwnedFd, abi::Name), Errno> {
    let mut random = [0; 8];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let name = format!("scifs-{}-{:016x}", std::process::id(), u64::from_ne_bytes(random));
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&listener, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    listen_on(&listener, BACKLOG)?;
    Ok((listener, abi::name(&name).ok_or(Errno::NAMETOOLONG)?))
}

struct Conversation {
    socket: OwnedFd,
    uid: u32,
    pid: u32,
    process: Option<Arc<Process>>,
}

struct Server {
    vm: Arc<Vm>,
    epoll: OwnedFd,
    all: HashMap<u64, Conversation>,
    last: u64,
}

/// Until the service ends.
pub(super) fn serve(vm: &Weak<Vm>, listener: OwnedFd) {
    if let Err(error) = try_serve(vm, &listener) {
        tracing::error!(%error, "programs can't attach any more");
    }
}

fn try_serve(weak: &Weak<Vm>, listener: &OwnedFd) -> Result<(), Errno> {
    let mut epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut all = HashMap::new();
    let mut last = LISTENER;
    let mut ready = Vec::with_capacity(READY_MAX);
    loop {
        ready.clear();
        // Nothing tells of the end of the service.
        let patience = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let Some(vm) = weak.upgrade() else { return Ok(()) };
        let mut server = Server { vm, epoll, all, last };
        for event in &ready {
            match event.data.u64() {
                LISTENER => server.accept(listener),
                number => server.hear(number),
            }
        }
        Server { epoll, all, last, .. } = server;
    }
}

impl Server {
    fn accept(&mut self, listener: &OwnedFd) {
        while let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            let Ok(peer) = socket_peercred(&socket) else { continue };
            let (uid, pid) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero().get().unsigned_abs());
            let of_user = self.all.values().filter(|known| known.uid == uid).count();
            let too_many = uid != ROOT && of_user >= CONNECTIONS_OF_A_USER_MAX;
            if self.all.len() >= CONNECTIONS_MAX || too_many {
                tracing::warn!(uid, "too many programs want to share memory; one was sent away");
                continue;
            }
            self.last += 1;
            if epoll::add(&self.epoll, &socket, EventData::new_u64(self.last), EventFlags::IN).is_ok() {
                self.all.insert(self.last, Conversation { socket, uid, pid, process: None });
            }
        }
    }

    fn hear(&mut self, number: u64) {
        for _ in 0..PACKETS_AT_ONCE {
            let Some(conversation) = self.all.get_mut(&number) else { return };
            match conversation.next(&self.vm) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::debug!(%error, pid = conversation.pid, "a program's conversation has ended");
                    // The process may live on, and go on sharing.
                    self.all.remove(&number);
                    return self.vm.sweep_soon();
                }
            }
        }
    }
}

impl Conversation {
    /// One packet. An error ends the conversation, unless it is EAGAIN.
    fn next(&mut self, vm: &Arc<Vm>) -> Result<(), Errno> {
        let mut bytes = [0; abi::PACKET_BYTES_MAX + 1];
        let (length, file) = receive(self.socket.as_fd(), &mut bytes, false)?;
        let packet = bytes.get(..length).filter(|packet| !packet.is_empty()).ok_or(Errno::PIPE)?;
        let number = packet.first_chunk().map(|kind| u32::from_ne_bytes(*kind));
        match (number, file) {
            (Some(kind::HELLO), Some(file)) => self.hello(vm, packet, file),
            (Some(kind::SEGMENT), None) => self.segment(vm, packet),
            (Some(kind::MAP), None) => self.map(vm, packet),
            _ => Err(Errno::PROTO),
        }
    }

    fn hello(&mut self, vm: &Arc<Vm>, packet: &[u8], file: OwnedFd) -> Result<(), Errno> {
        let hello = Hello::from_bytes(packet).map_err(|_| Errno::PROTO)?;
        let begun = match () {
            () if hello.version != abi::VERSION => Err(Errno::PROTONOSUPPORT),
            () if self.process.is_some() => Err(Errno::ALREADY),
            () if vm.programs_count() >= PROCESSES_MAX => Err(Errno::MFILE),
            () => Userfault::begin(file).and_then(|(uffd, forks)| Ok((vm.adopt(uffd, self.pid)?, forks))),
        };
        let (errno, flags) = match begun {
            Ok((process, forks)) => {
                self.process = Some(process);
                (0, if forks { abi::FOLLOWS_FORKS } else { 0 })
            }
            Err(error) => {
                tracing::debug!(%error, pid = self.pid, "a program can't share memory");
                (error.raw_os_error(), 0)
            }
        };
        self.answer(&Welcome { errno, flags }.to_bytes(), None)
    }

    fn segment(&mut self, vm: &Arc<Vm>, packet: &[u8]) -> Result<(), Errno> {
        let segment = Segment::from_bytes(packet).map_err(|_| Errno::PROTO)?;
        let Some(process) = &self.process else { return self.done(Err(Errno::PERM)) };
        let Some(shared) = vm.tickets.take(&segment.ticket) else { return self.done(Err(Errno::STALE)) };
        if let Err(error) = vm.announce(process, Shared::clone(&shared)) {
            return self.done(Err(error));
        }
        let done = Done { errno: 0, reserved: 0 };
        self.answer(&done.to_bytes(), Some(&shared))
    }

    fn map(&mut self, vm: &Arc<Vm>, packet: &[u8]) -> Result<(), Errno> {
        let map = Map::from_bytes(packet).map_err(|_| Errno::PROTO)?;
        let Some(process) = &self.process else { return self.done(Err(Errno::PERM)) };
        let mapped =
            range(&map).and_then(|(span, page)| settle(vm, process, || process.map(span, map.inode, page)));
        self.done(mapped)
    }

    fn done(&self, result: Result<(), Errno>) -> Result<(), Errno> {
        let errno = result.err().map_or(0, Errno::raw_os_error);
        self.answer(&Done { errno, reserved: 0 }.to_bytes(), None)
    }

    /// Nobody waits for a program that doesn't take its answers.
    fn answer(&self, bytes: &[u8], with: Option<&Shared>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = with.map(|shared| [shared.file.memory().file()]);
        if let Some(files) = &files {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN) => Err(Errno::NOBUFS),
            Err(error) => Err(error),
        }
    }
}

/// A packet and the one descriptor that it may bring; others are closed.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    wait: bool,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, !wait);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut file = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            file = files.last();
        }
    }
    Ok((received.bytes, file))
}

fn range(map: &Map) -> Result<(Span, u32), Errno> {
    let whole = [map.address, map.bytes, map.offset].iter().all(|number| number.is_multiple_of(PAGE));
    let end = map.offset.checked_add(map.bytes).filter(|end| *end <= SEGMENT_BYTES_MAX);
    if !whole || map.bytes == 0 || end.is_none() || map.address.checked_add(map.bytes).is_none() {
        return Err(Errno::INVAL);
    }
    let page = u32::try_from(map.offset / PAGE).map_err(|_| Errno::INVAL)?;
    Ok((Span { start: map.address, bytes: map.bytes }, page))
}

/// Does something to a process that can only be done when all that has happened to it is known.
fn settle(vm: &Vm, process: &Arc<Process>, act: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        vm.read_aside(process);
        match act() {
            Err(Errno::AGAIN) if begun.elapsed() < PROTECT_FOR => std::thread::yield_now(),
            result => return result,
        }
    }
}
