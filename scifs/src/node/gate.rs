//! Whether this node may serve now. While it may not (it has no lease), requests wait here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::pages::Pages;

type Held = Box<dyn FnOnce(&Arc<Pages>) + Send>;

#[derive(Default)]
pub(super) struct Gate {
    open: AtomicBool,
    /// This node is in a view, so there are engines.
    begun: AtomicBool,
    /// The node leaves: whatever happens, nothing is let in before the membership has ended.
    leaving: AtomicBool,
    /// Requests wait; looked at by every tick.
    some: AtomicBool,
    held: Mutex<VecDeque<Held>>,
}

impl Gate {
    pub(super) fn is_open(&self) -> bool {
        let leaving = self.leaving.load(Ordering::Acquire);
        !leaving && self.open.load(Ordering::Acquire) && self.begun.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }
}

impl Pages {
    /// Runs a request now, or when this node may act again. After the membership's end it runs as well, and fails by itself.
    pub(super) fn when_open(self: &Arc<Self>, request: impl FnOnce(&Arc<Self>) + Send + 'static) {
        if self.may_serve() {
            return request(self);
        }
        self.gate.held.lock().push_back(Box::new(request));
        self.gate.some.store(true, Ordering::Release);
        self.let_in();
    }

    /// Lets waiting requests in if that may be.
    pub(super) fn let_in(self: &Arc<Self>) {
        if self.gate.some.load(Ordering::Acquire) && self.may_serve() {
            self.gate.some.store(false, Ordering::Release);
            let held = std::mem::take(&mut *self.gate.held.lock());
            held.into_iter().for_each(|request| request(self));
        }
    }

    fn may_serve(&self) -> bool {
        self.has_ended() || (self.gate.is_open() && self.membership.may_act())
    }
}
