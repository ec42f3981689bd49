//! How a test waits for what happens on other threads: recorders notify after every event, and waiters look again.

use std::time::Duration;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
pub struct Signal {
    events: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    pub fn notify(&self) {
        *self.events.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until `done`, which is asked after every event. False when `patience` ran out first.
    pub fn wait(&self, patience: Duration, done: &mut dyn FnMut() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let before = *self.events.lock();
            if done() {
                return true;
            }
            let mut events = self.events.lock();
            // What came while `done` looked is looked at again, so nothing is missed.
            if *events == before && self.changed.wait_until(&mut events, deadline).timed_out() {
                drop(events);
                return done();
            }
        }
    }
}
