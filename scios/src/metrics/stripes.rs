//! Cells that threads don't share while they record. A cache line that two processors write costs each of them 30 to 70 ns a
//! time, several times the recording itself.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads are dealt out to this many stripes. A node has about as many threads that receive.
const STRIPES: usize = 8;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// One `T` for each stripe, made when a thread of it records first: what nobody records costs nothing.
#[derive(Debug, Default)]
pub(super) struct Stripes<T>([OnceLock<Box<Line<T>>>; STRIPES]);

/// Alone on its cache lines; two, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

impl<T: Default> Stripes<T> {
    /// The calling thread's. Other threads of the stripe may use it at the same time.
    pub(super) fn mine(&self) -> &T {
        &self.0[stripe()].get_or_init(Box::default).0
    }

    /// All that exist.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(|line| &line.0)
    }
}

/// Always below `STRIPES`.
fn stripe() -> usize {
    let known = STRIPE.get();
    if known < STRIPES {
        return known;
    }
    let new = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) % STRIPES;
    STRIPE.set(new);
    new
}
