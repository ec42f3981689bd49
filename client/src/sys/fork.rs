//! What happens around fork(2): locks are held across it so that the child doesn't inherit one that nobody will open, and the child
//! lets go of what belongs to its parent.
//!
//! A child of vfork(2) runs in its parent's memory and none of this happens for it. It is told by its number ([`is_borrowed`]), and
//! leaves everything here alone.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};

pub(crate) struct AtFork {
    pub(crate) prepare: fn(),
    pub(crate) parent: fn(),
    pub(crate) child: fn(),
}

static OWNER: AtomicU32 = AtomicU32::new(0);
static BEGUN: Once = Once::new();
static HANDLERS: OnceLock<AtFork> = OnceLock::new();

pub(crate) fn set_handlers(handlers: AtFork) {
    // The first ones stay; they are always the same.
    let _ = HANDLERS.set(handlers);
}

/// Once a process, before anything else here: notes whose memory this is.
pub fn begin() {
    BEGUN.call_once(|| {
        OWNER.store(std::process::id(), Ordering::Relaxed);
        // SAFETY: the handlers are functions of this library, which is never unloaded once a mapping of it is there.
        // It fails only when there is no memory; then forked children are taken for those of vfork, and use the kernel's way.
        let _ = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    });
}

/// Whether this process runs in the memory of another one, as a child of vfork does.
pub fn is_borrowed() -> bool {
    OWNER.load(Ordering::Relaxed) != std::process::id()
}

extern "C" fn prepare() {
    if let Some(handlers) = HANDLERS.get() {
        (handlers.prepare)();
    }
}

extern "C" fn parent() {
    if let Some(handlers) = HANDLERS.get() {
        (handlers.parent)();
    }
}

extern "C" fn child() {
    OWNER.store(std::process::id(), Ordering::Relaxed);
    if let Some(handlers) = HANDLERS.get() {
        (handlers.child)();
    }
}
