//! The parts of a large memory file that are mapped here.
//!
//! A segment is larger than what could be mapped of a few of them, and a node may have a hundred thousand: so a window
//! of the file is mapped when a page of it is used for the first time, and the windows of all segments together are
//! bounded. Those that were not used lately are unmapped for new ones, by going round as a clock does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::file::MemoryFile;
use super::{MemoryError, Region};

/// The windows of one file.
#[derive(Debug)]
pub(super) struct Windows {
    file: Arc<MemoryFile>,
    window_bytes: u64,
    clock: Arc<Clock>,
    /// Ascending by number. Most files have one.
    mapped: RwLock<Vec<Window>>,
}

#[derive(Debug)]
struct Window {
    number: u64,
    region: Arc<Region>,
    /// Again since it was mapped or since the clock came by.
    used: AtomicBool,
}

/// All windows of one memory, in the order in which they are looked at for one to unmap.
#[derive(Debug)]
pub(super) struct Clock {
    max: usize,
    hand: Mutex<VecDeque<(Weak<Windows>, u64)>>,
}

impl Windows {
    pub(super) fn new(file: Arc<MemoryFile>, window_bytes: u64, clock: &Arc<Clock>) -> Arc<Self> {
        Arc::new(Self { file, window_bytes, clock: Arc::clone(clock), mapped: RwLock::default() })
    }

    /// The window that has the file's byte at `offset`, and where in it that is.
    pub(super) fn at(self: &Arc<Self>, offset: u64) -> Result<(Arc<Region>, u64), MemoryError> {
        let (number, within) = (offset / self.window_bytes, offset % self.window_bytes);
        if let Some(region) = self.find(number) {
            return Ok((region, within));
        }
        let region = {
            let mut mapped = self.mapped.write();
            let at = match mapped.binary_search_by_key(&number, |w| w.number) {
                // Another thread was first.
                Ok(at) => return Ok((Arc::clone(&mapped[at].region), within)),
                Err(at) => at,
            };
            let region = Region::window(&self.file, number * self.window_bytes, self.window_bytes)?;
            mapped.insert(at, Window { number, region: Arc::clone(&region), used: AtomicBool::new(false) });
            region
        };
        self.clock.opened(self, number);
        Ok((region, within))
    }

    fn find(&self, number: u64) -> Option<Arc<Region>> {
        let mapped = self.mapped.read();
        let at = mapped.binary_search_by_key(&number, |w| w.number).ok()?;
        let window = mapped.get(at)?;
        // A store only when it changes something: the line stays with all readers.
        if !window.used.load(Ordering::Relaxed) {
            window.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&window.region))
    }

    /// Takes a window out unless it was used since the last time. Slices of it keep it mapped as long as they live.
    fn close_if_idle(&self, number: u64) -> Option<Arc<Region>> {
        let mut mapped = self.mapped.write();
        let at = mapped.binary_search_by_key(&number, |w| w.number).ok()?;
        let idle = mapped.get(at).is_some_and(|window| !window.used.swap(false, Ordering::Relaxed));
        idle.then(|| mapped.remove(at).region)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.mapped.read().len()
    }
}

impl Clock {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, hand: Mutex::default() })
    }

    /// Counts a window that was mapped, and unmaps others if there are too many. Nothing of `windows` is locked.
    fn opened(&self, windows: &Arc<Windows>, number: u64) {
        let mut closed = Vec::new();
        let mut hand = self.hand.lock();
        hand.push_back((Arc::downgrade(windows), number));
        // Twice round ends it: the first time takes the marks away.
        let mut looks = 2 * hand.len();
        while hand.len() > self.max && looks > 0 {
            looks -= 1;
            let Some((windows, number)) = hand.pop_front() else { break };
            // Those of segments that are gone are forgotten on the way.
            let Some(owner) = windows.upgrade() else { continue };
            match owner.close_if_idle(number) {
                Some(region) => closed.push((region, owner)),
                None => hand.push_back((windows, number)),
            }
        }
        // Unmapping takes a while, and so may the end of a segment.
        drop(hand);
        drop(closed);
    }
}
