//! The same work over any fabric. As in SciFS itself, the receiving thread does all of it: its handler answers, and
//! begins the next round trip, from within the event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use scios::NodeId;
use scios::memory::{Region, RegionSlice};
use scios::verbs::{Event, Fabric, Handler, SendError};

use super::BenchError;
use super::workload::{REQUEST_BYTES, WARM_UP, Workload};
use crate::report::median;
use crate::sweep::PAGE_BYTES;

const PATIENCE_S: u64 = 60;

/// What the first byte of a request asks for.
const ASK_SMALL: u8 = 1;
const ASK_PAGE: u8 = 2;
const STREAM: u8 = 3;
const STREAM_END: u8 = 4;

fn request(ask: u8) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    request[0] = ask;
    request
}

struct Server {
    fabric: Arc<dyn Fabric>,
    page: [RegionSlice; 1],
}

impl Handler for Server {
    fn on_event(&self, event: Event<'_>) {
        let Event::Message { peer, bytes } = event else { return };
        // The driver has one request under way, so the answer always fits.
        let _ = match bytes.first() {
            Some(&ASK_SMALL) => self.fabric.send(peer, &request(ASK_SMALL), &[]),
            Some(&ASK_PAGE) => self.fabric.send(peer, &[], &self.page),
            Some(&STREAM_END) => self.fabric.send(peer, &request(STREAM_END), &[]),
            _ => Ok(()),
        };
    }
}

pub(super) fn serve(fabric: Arc<dyn Fabric>, ready: impl FnOnce(&str)) -> Result<(), BenchError> {
    let page = [Region::new("bench", PAGE_BYTES as u64)?.whole()];
    fabric.start(Arc::new(Server { fabric: Arc::clone(&fabric), page }))?;
    ready(&fabric.address());
    fabric.stop();
    Ok(())
}

/// The driver's handler: begins the next round trip when one has ended.
struct Driver {
    fabric: Arc<dyn Fabric>,
    workload: Workload,
    left: AtomicUsize,
    times: Mutex<Times>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Times {
    begun: Instant,
    all: Vec<f64>,
}

#[derive(Default)]
struct Progress {
    peer: Option<NodeId>,
    finished: u32,
    writable: bool,
    wrong: Option<String>,
}

impl Handler for Driver {
    fn on_event(&self, event: Event<'_>) {
        match event {
            Event::Message { peer, .. } => self.answered(peer),
            Event::Up { peer, .. } => self.note(|progress| progress.peer = Some(peer)),
            Event::Writable { .. } => self.note(|progress| progress.writable = true),
            Event::Down { .. } | Event::ConnectFailed { .. } => {
                self.note(|progress| progress.wrong = Some(format!("{event:?}")));
            }
            _ => {}
        }
    }
}

impl Driver {
    fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.changed.notify_all();
    }

    fn answered(&self, peer: NodeId) {
        let Workload::RoundTrip { answer_bytes } = self.workload else {
            self.note(|progress| progress.finished += 1);
            return;
        };
        let mut times = self.times.lock();
        let now = Instant::now();
        let took = (now - times.begun).as_nanos() as f64;
        times.all.push(took);
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.note(|progress| progress.finished += 1);
            return;
        }
        times.begun = now;
        drop(times);
        if let Err(error) = self.ask(peer, answer_bytes) {
            self.note(|progress| progress.wrong = Some(error.to_string()));
        }
    }

    fn ask(&self, peer: NodeId, answer_bytes: usize) -> Result<(), SendError> {
        let ask = if answer_bytes == PAGE_BYTES { ASK_PAGE } else { ASK_SMALL };
        self.fabric.send(peer, &request(ask), &[])
    }

    /// Waits until `is` gives something.
    fn wait<T>(&self, is: impl Fn(&mut Progress) -> Option<T>) -> Result<T, BenchError> {
        let mut progress = self.progress.lock();
        loop {
            if let Some(wrong) = progress.wrong.take() {
                return Err(BenchError::Event(wrong));
            }
            if let Some(found) = is(&mut progress) {
                return Ok(found);
            }
            if self.changed.wait_for(&mut progress, Duration::from_secs(PATIENCE_S)).timed_out() {
                return Err(BenchError::Stuck(PATIENCE_S));
            }
        }
    }

    fn finished(&self) -> Result<(), BenchError> {
        self.wait(|progress| {
            let finished = progress.finished > 0;
            progress.finished = 0;
            finished.then_some(())
        })
    }

    fn send_patiently(&self, peer: NodeId, head: &[u8], body: &[RegionSlice]) -> Result<(), BenchError> {
        loop {
            match self.fabric.send(peer, head, body) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => {
                    self.wait(|progress| std::mem::take(&mut progress.writable).then_some(()))?;
                }
                Err(error) => return Err(BenchError::Event(error.to_string())),
            }
        }
    }

    fn stream_of(&self, peer: NodeId, message_bytes: usize, repeats: usize) -> Result<f64, BenchError> {
        let body = [Region::new("bench", message_bytes as u64)?.whole()];
        body.iter().try_for_each(|slice| slice.write_from(&vec![STREAM; message_bytes]))?;
        let begun = Instant::now();
        for _ in 0..repeats {
            self.send_patiently(peer, &[], &body)?;
        }
        self.send_patiently(peer, &request(STREAM_END), &[])?;
        self.finished()?;
        Ok(begun.elapsed().as_nanos() as f64 / (message_bytes * repeats) as f64)
    }
}

pub(super) fn drive(
    fabric: Arc<dyn Fabric>,
    address: &str,
    workload: Workload,
    repeats: usize,
) -> Result<f64, BenchError> {
    let rounds = WARM_UP + repeats;
    let driver = Arc::new(Driver {
        fabric: Arc::clone(&fabric),
        workload,
        left: AtomicUsize::new(rounds),
        times: Mutex::new(Times { begun: Instant::now(), all: Vec::with_capacity(rounds) }),
        progress: Mutex::default(),
        changed: Condvar::new(),
    });
    fabric.start(Arc::clone(&driver) as Arc<dyn Handler>)?;
    fabric.connect(address)?;
    let peer = driver.wait(|progress| progress.peer)?;
    let measured = match workload {
        Workload::RoundTrip { answer_bytes } => {
            driver.times.lock().begun = Instant::now();
            driver.ask(peer, answer_bytes).map_err(|error| BenchError::Event(error.to_string()))?;
            driver.finished()?;
            let mut times = driver.times.lock();
            median(times.all.get_mut(WARM_UP..).unwrap_or_default())
        }
        Workload::Stream { message_bytes } => {
            driver.stream_of(peer, message_bytes, WARM_UP)?;
            driver.stream_of(peer, message_bytes, repeats)?
        }
    };
    fabric.stop();
    Ok(measured)
}
