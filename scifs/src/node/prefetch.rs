//! Pages that a program says it will use soon. They are asked for in windows, so that a hint for a terabyte neither fills the
//! queues to other members nor takes memory that others need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use scios::limits::PAGE_BYTES;

use super::access::Access;
use super::file::{File, page_range};
use super::limits::{PREFETCH_WINDOW_PAGES, PREFETCH_WINDOWS};
use super::pages::Pages;
use crate::coherence::Mode;

/// What is left to be asked for.
struct Left {
    file: Arc<File>,
    mode: Mode,
    next: AtomicU32,
    /// The last page.
    last: u32,
}

/// How the next window is begun: not from within the end of one, since pages that are here already would pile up calls.
pub type Later = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

impl Pages {
    /// Returns when the first pages are asked for. Only what lies inside the file as this node knows it. Given up when a page
    /// can't be had or memory is short.
    pub fn prefetch(
        self: &Arc<Self>,
        file: &Arc<File>,
        (offset, bytes): (u64, u64),
        mode: Mode,
        later: &Arc<Later>,
    ) {
        let bytes = bytes.min(file.size().saturating_sub(offset));
        let Some((first, last)) = page_range(offset, bytes).filter(|_| bytes > 0) else { return };
        let left = Arc::new(Left { file: Arc::clone(file), mode, next: AtomicU32::new(first), last });
        for _ in 0..PREFETCH_WINDOWS {
            self.prefetch_window(&left, later);
        }
    }

    fn prefetch_window(self: &Arc<Self>, left: &Arc<Left>, later: &Arc<Later>) {
        let take = |next: u32| (next <= left.last).then(|| next.saturating_add(PREFETCH_WINDOW_PAGES));
        let Ok(first) = left.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) else { return };
        if !self.may_prefetch() {
            return;
        }
        let pages = (left.last - first).min(PREFETCH_WINDOW_PAGES - 1) + 1;
        let (these, goes_on, runs) = (Arc::clone(self), Arc::clone(left), Arc::clone(later));
        let done = move |result: Result<Vec<u8>, _>| {
            if result.is_ok() {
                let later = Arc::clone(&runs);
                runs(Box::new(move || these.prefetch_window(&goes_on, &later)));
            }
        };
        // Pages are touched; no byte of them is copied.
        let offset = u64::from(first) * PAGE_BYTES as u64;
        let access = Access::new(&left.file, left.mode, offset, Vec::new(), pages, Box::new(done));
        self.begin(&access, first, first + (pages - 1));
    }
}
