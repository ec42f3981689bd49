//! Programs that wait for each other: for a word of a file, and at a barrier. Nothing is kept here; the part of the node that
//! keeps it is told, and how to look at the word.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use scifs_client::abi;

use super::handles::Handle;
use super::io::ask_size;
use super::lanes::Lane;
use super::present::Present;
use super::{Inner, Service};
use crate::fuse::kernel::{Ioctl, Reply};
use crate::node::Pages;
use crate::sync::{BarrierName, Looked, Looking, Waits, Word};

impl Service {
    pub(super) fn wait(&self, ioctl: &Ioctl<'_>, reply: Reply) {
        let wait = match abi::Wait::from_bytes(ioctl.data) {
            Ok(wait) if is_sound(&wait) => wait,
            _ => return reply.error(Errno::INVAL),
        };
        self.with(ioctl.handle, reply, |inner, present, handle, reply| {
            if !handle.readable {
                return reply.error(Errno::BADF);
            }
            if lies_in(&wait, handle.file.size()) {
                return begin_wait(inner, &present, &handle, wait, reply);
            }
            inner.later(Lane::Ask, reply, move |inner, reply| match ask_size(inner, &present, &handle) {
                Ok(size) if lies_in(&wait, size) => begin_wait(inner, &present, &handle, wait, reply),
                Ok(_) => reply.error(Errno::INVAL),
                Err(errno) => reply.error(errno),
            });
        });
    }

    pub(super) fn notify(&self, ioctl: &Ioctl<'_>, reply: Reply) {
        let notify = match abi::Notify::from_bytes(ioctl.data) {
            Ok(notify) if notify.reserved == 0 && notify.offset.is_multiple_of(4) => notify,
            _ => return reply.error(Errno::INVAL),
        };
        self.with(ioctl.handle, reply, |_, present, handle, reply| match present.waits() {
            Ok(waits) => {
                let word = Word { inode: handle.inode, offset: notify.offset };
                waits.notify(word, notify.count, move |result| answer(reply, result));
            }
            Err(errno) => reply.error(errno),
        });
    }

    pub(super) fn arrive(&self, ioctl: &Ioctl<'_>, reply: Reply) {
        let barrier = abi::Barrier::from_bytes(ioctl.data).ok().filter(|barrier| barrier.reserved == 0);
        let name = barrier.as_ref().and_then(|barrier| BarrierName::of_text(abi::text_of(&barrier.name)?));
        let (Some(barrier), Some(name)) = (barrier, name) else { return reply.error(Errno::INVAL) };
        let present = match self.0.present() {
            Ok(present) => present,
            Err(errno) => return reply.error(errno),
        };
        let timeout = duration(barrier.timeout_ns);
        begin(&self.0, &present, reply, |waits, unique, reply| {
            waits.arrive(name, barrier.parties, timeout, unique, move |result| answer(reply, result));
        });
    }
}

fn is_sound(wait: &abi::Wait) -> bool {
    matches!(wait.width, 4 | 8) && wait.offset.is_multiple_of(u64::from(wait.width)) && wait.reserved == 0
}

fn lies_in(wait: &abi::Wait, size: u64) -> bool {
    wait.offset.checked_add(u64::from(wait.width)).is_some_and(|end| end <= size)
}

fn duration(timeout_ns: u64) -> Option<Duration> {
    (timeout_ns != abi::FOREVER).then(|| Duration::from_nanos(timeout_ns))
}

fn begin_wait(inner: &Inner, present: &Present, handle: &Handle, wait: abi::Wait, reply: Reply) {
    let word = Word { inode: handle.inode, offset: wait.offset };
    let look = looking(&present.pages, handle, wait);
    let timeout = duration(wait.timeout_ns);
    begin(inner, present, reply, |waits, unique, reply| {
        waits.wait(word, look, timeout, unique, move |result| answer(reply, result));
    });
}

/// Begins what can be interrupted.
fn begin(inner: &Inner, present: &Present, reply: Reply, start: impl FnOnce(&Waits, u64, Reply)) {
    let waits = match present.waits() {
        Ok(waits) => waits,
        Err(errno) => return reply.error(errno),
    };
    let unique = reply.unique();
    start(waits, unique, reply);
    if inner.early.take(unique) {
        waits.interrupt(unique);
    }
}

fn looking(pages: &Arc<Pages>, handle: &Handle, wait: abi::Wait) -> Arc<Looking> {
    let (pages, file) = (Arc::clone(pages), Arc::clone(&handle.file));
    Arc::new(move |tell| {
        pages.read(&file, wait.offset, wait.width as usize, move |bytes| {
            tell(match bytes.as_deref().map(|bytes| is_expected(bytes, wait.expected)) {
                Ok(true) => Looked::AsExpected,
                Ok(false) => Looked::Other,
                Err(_) => Looked::Failed,
            });
        });
    })
}

/// In the byte order of the machine, as programs store words.
fn is_expected(bytes: &[u8], expected: u64) -> bool {
    match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
        // A negative number of a signed word has more bits as an argument.
        (Ok(word), _) => u32::from_ne_bytes(word) == expected as u32,
        (_, Ok(word)) => u64::from_ne_bytes(word) == expected,
        _ => false,
    }
}

fn answer(reply: Reply, result: Result<u32, Errno>) {
    match result {
        Ok(result) => reply.ioctl(result, &[]),
        Err(errno) => reply.error(errno),
    }
}
