//! What changes of the name space mean for this node's pages and the kernel's: one thread that takes events in order.
//!
//! It may wait for the kernel, but never for a lane, for names or for a file that a process of this node is truncating:
//! whoever waits until an event has taken effect may hold what those need.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Inner;
use super::present::{Present, layout};
use crate::fuse::kernel::Notifier;
use crate::names::{Consequences, Event, Found, Inode, Query, Watch};
use crate::node::Files;

/// What the thread is told.
pub(super) enum Happening {
    Event { number: u64, index: u64, event: Event },
    /// The kernel must not answer from its page cache any more: this node's lease has run out, or its membership has ended.
    DropAll,
    End,
}

/// Given to the names of one membership. Only puts what it hears into a queue.
pub(super) struct Listening {
    pub(super) number: u64,
    pub(super) files: Arc<Files>,
    pub(super) to_thread: Mutex<Sender<Happening>>,
}

impl Watch for Listening {
    fn event(&self, index: u64, event: Event) -> Consequences {
        let consequences = match &event {
            // Nobody waits until others have seen a file grow: they ask when they come to its end.
            Event::Grown { inode, .. } if self.files.get(*inode).is_none() => return Consequences::Done,
            Event::Relaid { inode, .. } if self.files.get(*inode).is_none() => return Consequences::Done,
            Event::Consistency { .. } => return Consequences::Done,
            Event::Relaid { .. } => Consequences::Later,
            _ => Consequences::Done,
        };
        let happening = Happening::Event { number: self.number, index, event };
        match self.to_thread.lock().send(happening) {
            Ok(()) => consequences,
            // The thread has ended with the mount.
            Err(_) => Consequences::Done,
        }
    }
}

pub(super) fn follow(inner: &Weak<Inner>, happenings: &Receiver<Happening>) {
    let mut queue = VecDeque::new();
    while let Ok(happening) = happenings.recv() {
        queue.push_back(happening);
        while let Some(happening) = queue.pop_front() {
            let Some(inner) = inner.upgrade() else { return };
            match happening {
                Happening::Event { number, index, event } => take(&inner, number, index, event),
                Happening::DropAll => drop_all(&inner),
                Happening::End => return,
            }
        }
    }
}

fn take(inner: &Arc<Inner>, number: u64, index: u64, event: Event) {
    let Some(present) = inner.present_of(number) else { return };
    match event {
        Event::Grown { inode, size } => {
            if let Some(file) = inner.files.get(inode) {
                let _sizes = inner.sizes.write();
                file.grow(size);
            }
        }
        Event::Relaid { inode, size, layout: new } => {
            relay(inner, &present, inode, size, &new);
            present.names.consequences_done(index);
        }
        Event::Orphaned { inode } => {
            if inner.opens.orphaned(inode) {
                inner.let_go(inode);
            }
        }
        Event::Deleted { inode } => delete(inner, &present, inode),
        Event::Restored => restore(inner, &present),
        Event::Consistency { .. } => {}
    }
}

/// First the pages move, then the kernel drops what it has: what it fetches in between is of the new layout.
fn relay(inner: &Inner, present: &Present, inode: Inode, size: u64, new: &crate::names::Layout) {
    let Some(file) = inner.files.get(inode) else { return };
    {
        let _sizes = inner.sizes.write();
        present.pages.relayout(&file, &layout(new), size);
    }
    drop_pages(inner, inode);
}

/// While a process of this node truncates the file, the kernel writes nothing of it back, and to wait for that would be to
/// wait for oneself. It drops the pages by itself when the truncation is answered.
fn drop_pages(inner: &Inner, inode: Inode) {
    if let Some(notifier) = inner.notifier.get()
        && !inner.opens.is_truncating(inode)
    {
        invalidate(notifier, inode);
    }
}

fn invalidate(notifier: &Notifier, inode: Inode) {
    // A length of 0 stands for everything behind the offset.
    if let Err(error) = notifier.inval_inode(inode, 0, 0) {
        tracing::debug!(%error, inode, "the kernel did not drop a file's pages");
    }
}

fn delete(inner: &Inner, present: &Present, inode: Inode) {
    inner.opens.deleted(inode);
    inner.written.take(inode);
    present.pages.forget(inode);
    present.locks.forget(inode);
    // The kernel may still hold pages of a file that is deleted while it is cached.
    drop_pages(inner, inode);
}

/// Events are missing: every file that this node knows is compared with its own, new replica.
fn restore(inner: &Arc<Inner>, present: &Present) {
    inner.opens.forget_let_go();
    for file in inner.files.all() {
        let inode = file.inode();
        match present.names.local(&Query::File { inode }) {
            Ok(Found::File(info)) => {
                relay(inner, present, inode, info.attr.size, &info.layout);
                if info.attr.links == 0 && inner.opens.orphaned(inode) {
                    inner.let_go(inode);
                }
            }
            Ok(_) => {}
            Err(_) => delete(inner, present, inode),
        }
    }
}

fn drop_all(inner: &Inner) {
    let Some(notifier) = inner.notifier.get() else { return };
    for file in inner.files.all() {
        invalidate(notifier, file.inode());
    }
}
