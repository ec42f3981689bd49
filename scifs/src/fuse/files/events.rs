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
use crate::names::{self, Consequences, Event, Found, Inode, Query, Watch};
use crate::node::Files;

/// What the thread is told.
pub(super) enum Happening {
    Event { number: u64, index: u64, event: Event },
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
                Happening::End => return,
            }
        }
    }
}

fn take(inner: &Arc<Inner>, number: u64, index: u64, event: Event) {
    let Some(present) = inner.life(number) else { return };
    match event {
        Event::Grown { inode, size } => {
            if let Some(file) = inner.files.get(inode) {
                let _sizes = inner.sizes.write();
                file.grow(size);
            }
        }
        Event::Relaid { inode, size, layout: new } => {
            let names = Arc::clone(&present.names);
            relay(inner, &present, inode, (size, &new), move || names.consequences_done(index));
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

/// `done` runs when the kernel has nothing of before any more; or at once while a process of this node truncates the file:
/// the kernel drops its pages then when that is answered, which may wait for `done`.
fn relay(
    inner: &Inner,
    present: &Present,
    inode: Inode,
    (size, new): (u64, &names::Layout),
    done: impl FnOnce() + Send + 'static,
) {
    let Some(file) = inner.files.get(inode) else { return done() };
    let new = layout(new);
    let _sizes = inner.sizes.write();
    if inner.opens.cut(inode, &new.changes(&file.layout())) {
        present.pages.relayout(&file, &new, size, || ());
        done();
    } else {
        present.pages.relayout(&file, &new, size, done);
    }
}

fn delete(inner: &Inner, present: &Present, inode: Inode) {
    inner.opens.deleted(inode);
    inner.written.take(inode);
    present.pages.forget(inode);
    present.locks.forget(inode);
}

/// Events are missing: every file that this node knows is compared with its own, new replica.
fn restore(inner: &Arc<Inner>, present: &Present) {
    inner.opens.forget_let_go();
    for file in inner.files.all() {
        let inode = file.inode();
        match present.names.local(&Query::File { inode }) {
            Ok(Found::File(info)) => {
                relay(inner, present, inode, (info.attr.size, &info.layout), || ());
                if info.attr.links == 0 && inner.opens.orphaned(inode) {
                    inner.let_go(inode);
                }
            }
            Ok(_) => {}
            Err(_) => delete(inner, present, inode),
        }
    }
}
