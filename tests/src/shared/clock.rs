//! A clock that all processes of this machine read alike.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Longer waits give the processor to others: there are fewer processors than threads that take part.
const SPIN_NS_MAX: u64 = 3_000;
/// How late a sleeper may wake up. Only waits that are longer than twice that are slept through, and only in part.
pub const SLEEPER_LATE_NS: u64 = 150_000;

pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Never negative: the clock starts at boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Waits without giving up the processor for longer than others need it.
pub fn wait_until(deadline_ns: u64) {
    loop {
        let left_ns = deadline_ns.saturating_sub(now_ns());
        match left_ns {
            0 => return,
            1..=SPIN_NS_MAX => std::hint::spin_loop(),
            _ if left_ns > 2 * SLEEPER_LATE_NS => nap(left_ns - SLEEPER_LATE_NS),
            _ => std::thread::yield_now(),
        }
    }
}

/// Sleeps, so that those who have something to do get the processor.
pub fn nap(ns: u64) {
    std::thread::sleep(Duration::from_nanos(ns));
}
