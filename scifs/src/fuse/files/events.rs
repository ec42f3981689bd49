//! What changes of the name space mean for this node's pages and the kernel's: one thread that takes events in order.
//!
//! It waits for nobody: whoever waits until an event has taken effect may hold what others need.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Inner;
use super::cache::MountedCache;
use super::present::{Present, layout};
use crate::names::{self, Consequences, Event, Found, Inode, Query, Watch};
use crate::node::{Files, KernelCache};

/// What the thread is told.
pub(super) enum Happening {
    Event {
        number: u64,
        index: u64,
        event: Event,
    },
    /// A membership serves, as soon as all events before have been taken.
    Serve {
        number: u64,
    },
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
            Event::Grown { inode, .. } if self.files.get(*inode).is_none() => return Consequences::Done,
            Event::Relaid { inode, .. } if self.files.get(*inode).is_none() => return Consequences::Done,
            Event::Consistency { .. } => return Consequences::Done,
            Event::Grown { .. } | Event::Relaid { .. } => Consequences::Later,
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

pub(super) fn follow(inner: &Weak<Inner>, happenings: &Receiver<Happening>, to_dropper: &Sender<Told>) {
    while let Ok(happening) = happenings.recv() {
        let Some(inner) = inner.upgrade() else { return };
        match happening {
            Happening::Event { number, index, event } => take(&inner, to_dropper, number, index, event),
            Happening::Serve { number } => inner.serve(number),
            Happening::End => return,
        }
    }
}

fn take(inner: &Inner, to_dropper: &Sender<Told>, number: u64, index: u64, event: Event) {
    let Some(present) = inner.life(number) else { return };
    match event {
        Event::Grown { inode, size } => {
            if let Some(file) = inner.files.get(inode) {
                {
                    let _sizes = inner.sizes.write();
                    file.grow(size);
                }
            }
            let names = Arc::clone(&present.names);
            let done = Box::new(move || names.consequences_done(index));
            if inner.opens.is_open(inode) {
                let change = Change::Grown(size);
                // The thread lives as long as the sender does.
                let _ = to_dropper.send(Told { inode, change, done });
            } else {
                done();
            }
        }
        Event::Relaid { inode, size, layout: new } => {
            let names = Arc::clone(&present.names);
            let done = Box::new(move || names.consequences_done(index));
            relay(inner, &present, to_dropper, inode, (size, &new), done);
        }
        Event::Orphaned { inode } => {
            if inner.opens.orphaned(inode) {
                inner.let_go(inode);
            }
        }
        Event::Deleted { inode } => delete(inner, &present, inode),
        Event::Restored => restore(inner, &present, to_dropper),
        Event::Consistency { .. } => {}
    }
}

/// First the pages move, then the kernel drops what it has: what it fetches in between is of the new layout. `done` runs
/// when the kernel has nothing of before any more; or at once while a process of this node truncates the file: the kernel
/// drops its pages then when that is answered, which may wait for `done`.
fn relay(
    inner: &Inner,
    present: &Present,
    to_dropper: &Sender<Told>,
    inode: Inode,
    (size, new): (u64, &names::Layout),
    done: Box<dyn FnOnce() + Send>,
) {
    let Some(file) = inner.files.get(inode) else { return done() };
    let new = layout(new);
    let runs = new.changes(&file.layout());
    {
        let _sizes = inner.sizes.write();
        present.pages.relayout(&file, &new, size);
    }
    if inner.opens.cut(inode) {
        return done();
    }
    // The thread lives as long as the sender does.
    let _ = to_dropper.send(Told { inode, change: Change::Cut { runs, size }, done });
}

/// What the kernel is to be told about a file.
pub(super) struct Told {
    inode: Inode,
    change: Change,
    done: Box<dyn FnOnce() + Send>,
}

enum Change {
    Grown(u64),
    /// First and last pages of the runs to drop, and the size.
    Cut {
        runs: Vec<(u32, u32)>,
        size: u64,
    },
}

/// A thread of its own: it may wait for a truncation to be answered that began after the cut, and that waits for other events.
pub(super) fn tell_kernel(cache: &MountedCache, news: &Receiver<Told>) {
    const PAGE: u64 = scios::limits::PAGE_BYTES as u64;
    while let Ok(Told { inode, change, done }) = news.recv() {
        match change {
            Change::Grown(size) => cache.grow(inode, size),
            Change::Cut { runs, size } => {
                for (first, last) in runs {
                    let pages = u64::from(last - first) + 1;
                    cache.drop_pages(inode, u64::from(first) * PAGE, pages * PAGE);
                }
                // It may have been told less, by an earlier cut.
                cache.grow(inode, size);
            }
        }
        done();
    }
}

fn delete(inner: &Inner, present: &Present, inode: Inode) {
    inner.opens.deleted(inode);
    inner.written.take(inode);
    present.pages.forget(inode);
    if let Ok(locks) = present.locks() {
        locks.forget(inode);
        locks.forget(super::append::lock_of(inode));
    }
}

/// Events are missing: every file that this node knows is compared with its own, new replica.
fn restore(inner: &Inner, present: &Present, to_dropper: &Sender<Told>) {
    inner.opens.forget_let_go();
    for file in inner.files.all() {
        let inode = file.inode();
        match present.names.local(&Query::File { inode }) {
            Ok(Found::File(info)) => {
                let place = (info.attr.size, &info.layout);
                relay(inner, present, to_dropper, inode, place, Box::new(|| ()));
                if info.attr.links == 0 && inner.opens.orphaned(inode) {
                    inner.let_go(inode);
                }
            }
            Ok(_) => {}
            Err(_) => delete(inner, present, inode),
        }
    }
}
