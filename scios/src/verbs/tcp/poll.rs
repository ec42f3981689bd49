//! What the receiving thread waits on: sockets, a timer, and being woken by other threads of this process.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, epoll};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::limits::TICK_MS;

/// Tokens that are no connection's; connections have an index below 2^32 and a generation below 2^31.
pub(super) const LISTENER: u64 = u64::MAX;
pub(super) const TIMER: u64 = u64::MAX - 1;
pub(super) const WAKER: u64 = u64::MAX - 2;

const WAIT_EVENTS: usize = 64;

/// Something that epoll reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
    /// Set by a thread that has left work, cleared by the receiver when it looks for it.
    work: AtomicBool,
    /// The receiver is, or is about to be, blocked in epoll: work needs a wake-up.
    asleep: AtomicBool,
}

impl Poller {
    pub(super) fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let this = Self { epoll, wake, work: AtomicBool::new(false), asleep: AtomicBool::new(false) };
        this.add(&this.wake, WAKER, false)?;
        Ok(this)
    }

    pub(super) fn add(&self, file: impl AsFd, token: u64, writable: bool) -> Result<(), Errno> {
        epoll::add(&self.epoll, file, epoll::EventData::new_u64(token), flags(writable))
    }

    /// Reports `file` only when it can be written to.
    pub(super) fn add_writable_only(&self, file: impl AsFd, token: u64) -> Result<(), Errno> {
        epoll::add(&self.epoll, file, epoll::EventData::new_u64(token), epoll::EventFlags::OUT)
    }

    /// Reports `file` from now on also, or no longer, when it can be written to.
    pub(super) fn watch_writable(&self, file: impl AsFd, token: u64, writable: bool) -> Result<(), Errno> {
        epoll::modify(&self.epoll, file, epoll::EventData::new_u64(token), flags(writable))
    }

    /// Forgets `file`.
    pub(super) fn remove(&self, file: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.epoll, file)
    }

    /// Stops reporting `file` until the next `watch_writable`.
    pub(super) fn pause(&self, file: impl AsFd, token: u64) -> Result<(), Errno> {
        epoll::modify(&self.epoll, file, epoll::EventData::new_u64(token), epoll::EventFlags::empty())
    }

    /// From any thread: `take_work` will say yes soon.
    pub(super) fn wake(&self) {
        self.work.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // Fails only when the counter is full, and then the receiver is awake anyway.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    pub(super) fn take_work(&self) -> bool {
        self.work.load(Ordering::Relaxed) && self.work.swap(false, Ordering::SeqCst)
    }

    /// Looks for events without waiting.
    pub(super) fn peek(&self, into: &mut Vec<Ready>) {
        self.collect(into, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    }

    /// Waits for events, or for `wake`.
    pub(super) fn wait(&self, into: &mut Vec<Ready>) {
        self.asleep.store(true, Ordering::SeqCst);
        // Looked at after `asleep` is visible: whoever leaves work later wakes us.
        if self.work.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            return;
        }
        self.collect(into, None);
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn collect(&self, into: &mut Vec<Ready>, timeout: Option<&Timespec>) {
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [none; WAIT_EVENTS];
        // EINTR is the only error a valid epoll gives; the caller's loop comes back.
        let Ok(count) = epoll::wait(&self.epoll, &mut events, timeout) else { return };
        for event in events.iter().take(count) {
            let (flags, data) = (event.flags, event.data);
            if data.u64() == WAKER {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.wake, &mut count);
                continue;
            }
            let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            into.push(Ready {
                token: data.u64(),
                readable: broken || flags.contains(epoll::EventFlags::IN),
                writable: broken || flags.contains(epoll::EventFlags::OUT),
            });
        }
    }
}

fn flags(writable: bool) -> epoll::EventFlags {
    if writable { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN }
}

/// A timer that is readable every `TICK_MS`. Cheaper than a timeout given to each wait: it is armed once.
pub(super) fn tick_timer() -> Result<OwnedFd, Errno> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let every = Timespec { tv_sec: 0, tv_nsec: TICK_MS as i64 * 1_000_000 };
    let setting = Itimerspec { it_interval: every, it_value: every };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    Ok(timer)
}
