//! The thread that reads what happens to attached processes, and what is to be done later.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use super::limits::SWEEP_EVERY;
use super::process::Process;
use super::service::Vm;
use super::uffd::PageFault;

/// Not the number of a process.
const KICK: u64 = 0;

/// Looked at in one go.
const READY_MAX: usize = 64;

/// Something to be done by the thread, maybe later.
pub(super) enum Job {
    /// Faults that somebody else has read.
    Serve(Arc<Process>, Vec<PageFault>),
    /// Read what has happened, then have the process try again.
    Retry(Arc<Process>, u64),
    /// A conversation has ended, and maybe its process.
    Sweep,
}

pub(super) struct Events {
    epoll: OwnedFd,
    kick: OwnedFd,
    jobs: Mutex<VecDeque<(Instant, Job)>>,
}

impl Events {
    pub(super) fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let kick = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &kick, EventData::new_u64(KICK), EventFlags::IN)?;
        Ok(Self { epoll, kick, jobs: Mutex::default() })
    }

    pub(super) fn watch(&self, process: &Process) -> Result<(), Errno> {
        epoll::add(&self.epoll, process, EventData::new_u64(process.number), EventFlags::IN)
    }

    pub(super) fn unwatch(&self, process: &Process) {
        // Closing it would not do: others may have the descriptor too.
        if let Err(error) = epoll::delete(&self.epoll, process.as_fd()) {
            tracing::debug!(%error, "a process was not watched");
        }
    }

    /// From any thread.
    pub(super) fn push(&self, job: Job, after: Duration) {
        self.jobs.lock().push_back((Instant::now() + after, job));
        self.kick();
    }

    pub(super) fn kick(&self) {
        // It can't be full before somebody has read it.
        let _ = rustix::io::write(&self.kick, &1_u64.to_ne_bytes());
    }

    fn due(&self) -> Vec<Job> {
        let now = Instant::now();
        let mut jobs = self.jobs.lock();
        let (due, later) =
            std::mem::take(&mut *jobs).into_iter().partition::<VecDeque<_>, _>(|(at, _)| *at <= now);
        *jobs = later;
        due.into_iter().map(|(_, job)| job).collect()
    }

    fn patience(&self, sweep_at: Instant) -> Timespec {
        let next = self.jobs.lock().iter().map(|(at, _)| *at).min();
        let until = next.map_or(sweep_at, |next| next.min(sweep_at));
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: not to come back a moment too early, again and again.
        let left = left.max(Duration::from_millis(1));
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
    }
}

/// Until the service ends.
pub(super) fn run(vm: &Weak<Vm>, events: &Events) {
    let mut ready = Vec::with_capacity(READY_MAX);
    let mut sweep_at = Instant::now() + SWEEP_EVERY;
    loop {
        ready.clear();
        let patience = events.patience(sweep_at);
        let waited = epoll::wait(&events.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&patience));
        if let Err(error) = waited
            && error != Errno::INTR
        {
            return tracing::error!(%error, "page faults of programs can't be waited for any more");
        }
        let Some(vm) = vm.upgrade() else { return };
        for event in &ready {
            match event.data.u64() {
                KICK => drop(rustix::io::read(&events.kick, &mut [0; 8])),
                number => vm.look_at(number),
            }
        }
        for job in events.due() {
            vm.work(job);
        }
        if Instant::now() >= sweep_at {
            vm.sweep();
            sweep_at = Instant::now() + SWEEP_EVERY;
        }
    }
}
