//! Ends a program that hangs itself, with a sentence about what it was doing: a mount can keep even the process that tests it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Exit code of a program that hung.
pub const EXIT_HUNG: i32 = 3;
const GLANCE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct Watchdog(Arc<Mutex<(Instant, String)>>);

impl Watchdog {
    /// Watches until the program ends.
    pub fn start(patience: Duration) -> Self {
        let watchdog = Self(Arc::new(Mutex::new((Instant::now(), "starting".into()))));
        let watched = watchdog.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(GLANCE);
                let (since, doing) = watched.0.lock().clone();
                if since.elapsed() > patience {
                    println!("HUNG for {} s while {doing}", patience.as_secs());
                    println!("0 passed, 1 failed");
                    std::process::exit(EXIT_HUNG);
                }
            }
        });
        watchdog
    }

    /// What the program is about to do; time counts from now.
    pub fn doing(&self, what: impl Into<String>) {
        *self.0.lock() = (Instant::now(), what.into());
    }
}
