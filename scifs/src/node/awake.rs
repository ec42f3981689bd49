//! Keeps this machine's processors from sleeping while pages come and go in quick succession.
//!
//! A page that changes nodes wakes six threads one after the other, mostly on a processor that has nothing else to do and so
//! sleeps. In a virtual machine it is awake again only after as long as all the work takes. The kernel offers
//! `/dev/cpu_dma_latency` for this: as long as somebody has it open, idle processors stay within the latency that was
//! written there. It is held from the moment that messages follow each other closely until they stop, for all the rest the
//! machine sleeps as always; where the kernel doesn't let this process have it, nothing is kept awake.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use scios::Nanos;
use scios::verbs::Fabric;

/// Messages that are no further apart than this follow each other closely.
const GAP_MAX: Duration = Duration::from_micros(500);

/// From so many of them on it is worth it.
const STREAK_MIN: u32 = 16;

/// Between two looks whether they have stopped.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const DEVICE: &str = "/dev/cpu_dma_latency";

/// What decides about idle processors.
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// A guest has no light sleep: the host takes its processor away.
const DRIVER_OF_GUESTS: &str = "haltpoll";

/// The lightest sleep of any processor is over sooner, and all others aren't.
const LIGHT_SLEEP_US: i32 = 2;

pub(super) struct Awake(Option<Arc<Shared>>);

struct Shared {
    clock: Arc<dyn Fabric>,
    /// When a message came last, in nanoseconds.
    heard: AtomicU64,
    streak: AtomicU32,
    /// They are kept awake.
    kept: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    stopped: bool,
}

impl Awake {
    pub(super) fn never() -> Self {
        Self(None)
    }

    pub(super) fn start(clock: Arc<dyn Fabric>) -> Self {
        let shared = Arc::new(Shared {
            clock,
            heard: AtomicU64::new(0),
            streak: AtomicU32::new(0),
            kept: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        match std::thread::Builder::new().name("awake".into()).spawn(move || theirs.work()) {
            Ok(_) => Self(Some(shared)),
            Err(error) => {
                tracing::warn!(%error, "cannot start a thread; processors sleep between messages");
                Self::never()
            }
        }
    }

    /// A message about a page has come.
    pub(super) fn heard(&self, now: Nanos) {
        let Some(shared) = &self.0 else { return };
        let before = Nanos(shared.heard.swap(now.0, Ordering::Relaxed));
        if shared.kept.load(Ordering::Relaxed) {
            return;
        }
        if now.since(before) > GAP_MAX {
            shared.streak.store(0, Ordering::Relaxed);
        } else if shared.streak.fetch_add(1, Ordering::Relaxed) + 1 == STREAK_MIN {
            shared.state.lock().wanted = true;
            shared.changed.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        if let Some(shared) = &self.0 {
            shared.state.lock().stopped = true;
            shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn work(&self) {
        while self.wait() {
            let held = match hold() {
                Ok(held) => held,
                Err(error) => {
                    tracing::info!(%error, "{DEVICE} is not for this process; processors sleep between messages");
                    return;
                }
            };
            self.kept.store(true, Ordering::Relaxed);
            self.until_silent();
            drop(held);
            self.streak.store(0, Ordering::Relaxed);
            self.kept.store(false, Ordering::Relaxed);
        }
    }

    /// False when it was stopped.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.wanted && !state.stopped {
            self.changed.wait(&mut state);
        }
        state.wanted = false;
        !state.stopped
    }

    fn until_silent(&self) {
        let mut state = self.state.lock();
        while !state.stopped {
            let heard = Nanos(self.heard.load(Ordering::Relaxed));
            if self.clock.now().since(heard) > GAP_MAX {
                return;
            }
            self.changed.wait_for(&mut state, LOOK_EVERY);
        }
    }
}

fn hold() -> std::io::Result<File> {
    let guest = std::fs::read_to_string(DRIVER).is_ok_and(|driver| driver.trim() == DRIVER_OF_GUESTS);
    let latency_us: i32 = if guest { 0 } else { LIGHT_SLEEP_US };
    let mut device = File::options().write(true).open(DEVICE)?;
    device.write_all(&latency_us.to_ne_bytes())?;
    Ok(device)
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Awake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.0.as_ref().is_some_and(|shared| shared.kept.load(Ordering::Relaxed));
        f.debug_struct("Awake").field("kept", &kept).finish_non_exhaustive()
    }
}
