//! The keeper's own process.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use scios::limits::{PAGE_BYTES, SEGMENT_BYTES_MAX};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{PACKET_BYTES, Told};
use crate::vm::limits::SWEEP_EVERY;
use crate::vm::socket::receive;
use crate::vm::uffd::{Event, Span, Userfault};

const READY_MAX: usize = 64;
const PAGE: u64 = PAGE_BYTES as u64;

#[derive(Default)]
struct Held {
    processes: HashMap<u64, Userfault>,
    files: HashMap<u64, OwnedFd>,
}

/// Holds on to what the daemon at the other end of standard input gives, and after the daemon's end stands in for it until the
/// last program has ended.
pub fn run() -> std::io::Result<()> {
    // It ends when nobody needs it any more, and not with others that a signal is meant for.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    let mut held = Held::default();
    let daemon = std::io::stdin();
    loop {
        let mut bytes = [0; PACKET_BYTES];
        match receive(daemon.as_fd(), &mut bytes, true) {
            Ok((0, _)) | Err(Errno::CONNRESET) => break,
            Ok((_, file)) => held.note(&bytes, file),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(held.stand_in()?)
}

impl Held {
    fn note(&mut self, bytes: &[u8], file: Option<OwnedFd>) {
        match (Told::from_bytes(bytes), file) {
            (Some((Told::Process, number)), Some(file)) => {
                self.processes.insert(number, Userfault::of(file));
            }
            (Some((Told::ProcessGone, number)), _) => drop(self.processes.remove(&number)),
            (Some((Told::File, inode)), Some(file)) => drop(self.files.insert(inode, file)),
            (Some((Told::FileGone, inode)), _) => drop(self.files.remove(&inode)),
            _ => {}
        }
    }

    fn stand_in(mut self) -> Result<(), Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (number, process) in &self.processes {
            epoll::add(&epoll, process, EventData::new_u64(*number), EventFlags::IN)?;
        }
        self.files.values().for_each(|file| empty(file.as_fd()));
        // Also faults that the daemon has read and not answered.
        self.processes.values().for_each(Userfault::wake_all);
        let mut ready = Vec::with_capacity(READY_MAX);
        let patience = Timespec { tv_sec: 0, tv_nsec: SWEEP_EVERY.subsec_nanos().into() };
        self.processes.retain(|_, process| process.is_alive());
        while !self.processes.is_empty() {
            ready.clear();
            match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut ready), Some(&patience)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &ready {
                self.answer(&epoll, event.data.u64())?;
            }
            if ready.is_empty() {
                self.processes.retain(|_, process| process.is_alive());
            }
        }
        Ok(())
    }

    fn answer(&mut self, epoll: &OwnedFd, number: u64) -> Result<(), Errno> {
        let Some(process) = self.processes.get(&number) else { return Ok(()) };
        let mut events = Vec::new();
        while process.read(&mut events)? {}
        let mut children = Vec::new();
        for event in events {
            match event {
                Event::Fault(fault) => refuse(process, fault.address),
                Event::Fork(child) => children.push(child),
                Event::Remap { .. } | Event::Unmap { .. } => {}
            }
        }
        for child in children {
            let number = self.processes.keys().max().map_or(0, |last| last + 1);
            epoll::add(epoll, &child, EventData::new_u64(number), EventFlags::IN)?;
            self.processes.insert(number, child);
        }
        Ok(())
    }
}

/// SIGBUS, or once more if something has to be read first.
fn refuse(process: &Userfault, address: u64) {
    let span = Span { start: address, bytes: PAGE };
    let poisoned = match process.poison(span) {
        // What is left of a protected page that was taken away.
        Err(Errno::EXIST) => process.protect(span, true).and_then(|()| process.poison(span)),
        result => result,
    };
    if poisoned.is_err() {
        // Nobody waits there any more, or it is told again.
        let _ = process.wake(span);
    }
}

/// Takes all pages from whoever maps them.
fn empty(file: BorrowedFd<'_>) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    // There is nobody who could be told.
    let _ = fallocate(file, flags, 0, SEGMENT_BYTES_MAX);
}
