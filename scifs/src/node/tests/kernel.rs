//! A model of the kernel's page cache behind a mount, as far as a daemon can tell: pages are filled by READ while they are
//! locked, are changed without a word, and are written back, by WRITE, before they are dropped. A few workers serve both.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use scios::limits::PAGE_BYTES;

use super::super::{KernelCache, PageFault, Pages};

pub(super) type Bytes = [u8; PAGE_BYTES];
type Request = Box<dyn FnOnce(&Arc<Pages>) + Send>;

/// Longer than anything takes that ends at all.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// A page, locked while it is filled, changed, written back or dropped.
#[derive(Default)]
struct Slot {
    bytes: Option<Box<Bytes>>,
    dirty: bool,
}

type Slots = HashMap<(u64, u32), Arc<Mutex<Slot>>>;

pub(super) struct Kernel {
    slots: Mutex<Slots>,
    requests: Mutex<Option<Sender<Request>>>,
    pages: RwLock<Weak<Pages>>,
    workers: usize,
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

impl Kernel {
    pub(super) fn new(workers: usize) -> Arc<Self> {
        let (requests, queue) = channel::<Request>();
        let kernel = Arc::new(Self {
            slots: Mutex::default(),
            requests: Mutex::new(Some(requests)),
            pages: RwLock::default(),
            workers,
        });
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..workers {
            let (queue, kernel) = (Arc::clone(&queue), Arc::downgrade(&kernel));
            std::thread::spawn(move || work(&queue, &kernel));
        }
        kernel
    }

    pub(super) fn mount(&self, pages: &Arc<Pages>) {
        *self.pages.write() = Arc::downgrade(pages);
    }

    /// Ends the workers.
    pub(super) fn unmount(&self) {
        *self.requests.lock() = None;
    }

    /// Has a worker do something.
    pub(super) fn request(&self, request: impl FnOnce(&Arc<Pages>) + Send + 'static) {
        if let Some(requests) = self.requests.lock().as_ref() {
            requests.send(Box::new(request)).unwrap();
        }
    }

    fn slot(&self, inode: u64, page: u32) -> Arc<Mutex<Slot>> {
        Arc::clone(self.slots.lock().entry((inode, page)).or_default())
    }

    /// What a process does with a mapped page: faults it in, and changes it (`true`) or only looks.
    pub(super) fn with<T>(
        &self,
        inode: u64,
        page: u32,
        act: impl FnOnce(&mut Bytes) -> (T, bool),
    ) -> Result<T, PageFault> {
        let slot = self.slot(inode, page);
        let mut slot = slot.lock();
        if slot.bytes.is_none() {
            // The page stays locked while its READ is under way.
            let (tell, told) = sync_channel(1);
            self.request(move |pages| {
                let file = pages.file(inode).unwrap();
                pages.map_read(&file, page, move |result| {
                    let bytes = result.map(|bytes| Box::new(*bytes.first_chunk::<PAGE_BYTES>().unwrap()));
                    tell.send(bytes).unwrap();
                });
            });
            slot.bytes = Some(told.recv_timeout(LONG).expect("a READ was never answered")?);
        }
        let Slot { bytes, dirty } = &mut *slot;
        let (result, changed) = act(bytes.as_mut().unwrap());
        *dirty |= changed;
        Ok(result)
    }

    fn drop_page(&self, inode: u64, page: u32, slot: &mut Slot) {
        let Some(bytes) = slot.bytes.take() else { return };
        if std::mem::take(&mut slot.dirty) {
            let (tell, told) = sync_channel(1);
            self.request(move |pages| {
                if let Some(file) = pages.files().get(inode) {
                    let offset = u64::from(page) * PAGE_BYTES as u64;
                    pages.write_back(&file, offset, &bytes[..]).unwrap();
                }
                tell.send(()).unwrap();
            });
            told.recv_timeout(LONG).expect("a WRITE was never answered");
        }
    }

    /// As under memory pressure: the kernel drops what it wants and tells nobody.
    pub(super) fn shrink(&self, inode: u64, page: u32) {
        let slot = self.slot(inode, page);
        let mut slot = slot.lock();
        self.drop_page(inode, page, &mut slot);
    }

    pub(super) fn cached(&self) -> usize {
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        slots.iter().filter(|slot| slot.lock().bytes.is_some()).count()
    }
}

impl KernelCache for Kernel {
    fn drop_pages(&self, inode: u64, offset: u64, bytes: u64) {
        let first = offset / PAGE_BYTES as u64;
        let range = first..first + bytes.div_ceil(PAGE_BYTES as u64);
        let mut there: Vec<_> = {
            let slots = self.slots.lock();
            let inside = |(of, page): &(u64, u32)| *of == inode && range.contains(&u64::from(*page));
            slots.iter().filter(|(key, _)| inside(key)).map(|(key, slot)| (*key, Arc::clone(slot))).collect()
        };
        there.sort_by_key(|(key, _)| *key);
        for ((inode, page), slot) in there {
            self.drop_page(inode, page, &mut slot.lock());
        }
    }

    fn is_worker(&self) -> bool {
        IS_WORKER.get()
    }

    fn workers(&self) -> usize {
        self.workers
    }
}

fn work(queue: &Mutex<Receiver<Request>>, kernel: &Weak<Kernel>) {
    IS_WORKER.set(true);
    loop {
        let request = queue.lock().recv();
        let Ok(request) = request else { return };
        let Some(pages) = kernel.upgrade().and_then(|kernel| kernel.pages.read().upgrade()) else { return };
        request(&pages);
    }
}
