//! Files as processes of this node see them: every request of the kernel, answered from names, pages and locks.
//!
//! The threads that read requests never wait. Reading, writing and locking keep the [`Reply`] until the pages or the lock
//! come; what has to ask names is handed to a lane.

mod answer;
mod append;
mod attaching;
mod attributes;
mod cache;
mod convert;
mod events;
mod handles;
mod interrupts;
mod io;
mod ioctl;
mod keeping;
mod lanes;
mod locking;
mod naming;
mod opening;
mod present;
mod programs;
mod space;
mod times;
mod waiting;
mod xattrs;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use super::kernel::{FileSystem, Header, Operation, Reply};
use crate::locks::Space;
use crate::names::{Consistency, Inode, Make};
use crate::node::{File, Files, Layout};
use answer::{Answer, OPENED_DIRECTORY, Outcome, send};
pub use attaching::{Attaching, Wanted};
use cache::MountedCache;
pub use handles::KeptOpen;
use handles::{Handle, Opens};
use interrupts::EarlyInterrupts;
pub use keeping::{FilesConfig, FilesService, FilesStatus};
use lanes::{Lane, Lanes};
use locking::Wish;
pub use present::Present;
use times::Written;

/// What everybody who answers requests shares.
struct Inner {
    /// Of new files.
    consistency: Consistency,
    files: Arc<Files>,
    /// The parts of every membership that has not ended, by its number.
    lives: RwLock<BTreeMap<u64, Arc<Present>>>,
    /// Those that requests go to; `None` between two memberships.
    present: RwLock<Option<Arc<Present>>>,
    opens: Opens,
    cache: Arc<MountedCache>,
    lanes: Lanes,
    written: Written,
    early: EarlyInterrupts,
    /// Who shares memory with programs, if anybody does.
    attaching: OnceLock<Arc<dyn Attaching>>,
    /// Orphans that the cluster is to be told this node doesn't need.
    letting_go: Mutex<Vec<Inode>>,
    /// Held for writing while a layout changes, for reading while a size that was asked for is taken over.
    sizes: RwLock<()>,
}

impl Inner {
    fn present(&self) -> Result<Arc<Present>, Errno> {
        self.present.read().clone().ok_or(Errno::IO)
    }

    fn life(&self, number: u64) -> Option<Arc<Present>> {
        self.lives.read().get(&number).cloned()
    }

    /// Goes on in a lane.
    fn later(
        self: &Arc<Self>,
        lane: Lane,
        reply: Reply,
        work: impl FnOnce(&Arc<Self>, Reply) + Send + 'static,
    ) {
        let inner = Arc::clone(self);
        // A refused task drops its reply, which answers EIO.
        self.lanes.run(lane, move || work(&inner, reply));
    }

    /// Takes over a size that was asked for, unless the file was cut since, as its layout of `before` tells.
    fn learn_size(&self, file: &File, before: &Layout, size: u64) {
        let _no_cut = self.sizes.read();
        if file.layout() == *before {
            file.grow(size);
        }
    }

    fn let_go(&self, inode: Inode) {
        self.letting_go.lock().push(inode);
    }
}

/// The files of one mount, as the kernel's requests reach them.
#[derive(Clone)]
struct Service(Arc<Inner>);

impl Service {
    /// Answers with what `work` finds out in a lane.
    fn ask(&self, lane: Lane, reply: Reply, work: impl FnOnce(&Inner, &Present) -> Outcome + Send + 'static) {
        self.0.later(lane, reply, |inner, reply| {
            let outcome = inner.present().and_then(|present| work(inner, &present));
            send(reply, outcome, &inner.files);
        });
    }

    /// For what needs an open file and is begun at once.
    fn with(
        &self,
        handle: u64,
        reply: Reply,
        begin: impl FnOnce(&Arc<Inner>, Arc<Present>, Arc<Handle>, Reply),
    ) {
        match self.0.present().and_then(|present| Ok((present, self.0.opens.get(handle)?))) {
            Ok((_, handle)) if handle.file.is_gone() => reply.error(Errno::STALE),
            Ok((present, handle)) => begin(&self.0, present, handle, reply),
            Err(errno) => reply.error(errno),
        }
    }

    /// For what needs an open file and may wait.
    fn with_later(
        &self,
        lane: Lane,
        handle: u64,
        reply: Reply,
        work: impl FnOnce(&Inner, &Present, &Handle) -> Outcome + Send + 'static,
    ) {
        self.with(handle, reply, |_, _, handle, reply| {
            self.ask(lane, reply, move |inner, present| work(inner, present, &handle));
        });
    }
}

fn bytes(name: &OsStr) -> Vec<u8> {
    name.as_bytes().to_vec()
}

impl FileSystem for Service {
    fn handle(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        use Operation as Op;
        match operation {
            Op::Read { .. } | Op::Write { .. } => self.transfer(operation, reply),
            Op::Lookup { .. }
            | Op::SymLink { .. }
            | Op::MkNod { .. }
            | Op::MkDir { .. }
            | Op::Unlink { .. }
            | Op::RmDir { .. }
            | Op::Rename { .. }
            | Op::Link { .. }
            | Op::ReadLink
            | Op::ReadDir { .. } => self.name(header, operation, reply),
            Op::GetAttr { .. }
            | Op::SetAttr(_)
            | Op::StatFs
            | Op::SetXattr { .. }
            | Op::GetXattr { .. }
            | Op::ListXattr { .. }
            | Op::RemoveXattr { .. } => self.attribute(header, operation, reply),
            Op::GetLock { .. } | Op::SetLock { .. } | Op::Interrupt { .. } => {
                self.lock(header, operation, reply);
            }
            Op::Ioctl(ioctl) => self.ioctl(header, ioctl, reply),
            other => self.open_file(header, other, reply),
        }
    }
}

/// The requests in groups. Each takes what `handle` gives it.
impl Service {
    fn transfer(&self, operation: Operation<'_>, reply: Reply) {
        match operation {
            Operation::Read { handle, offset, bytes, from_cache } => {
                self.with(handle, reply, |inner, present, handle, reply| {
                    let begin = if from_cache { io::fill } else { io::read };
                    begin(inner, present, handle, (offset, bytes), reply);
                });
            }
            // Its pages went with the membership that has ended. The kernel would tell an error to whoever reads the file next.
            Operation::Write { data, from_cache: true, .. } if self.0.present().is_err() => {
                tracing::debug!(
                    bytes = data.len(),
                    "the kernel wrote back a page of a membership that has ended"
                );
                reply.written(data.len() as u32);
            }
            Operation::Write { handle, offset, data, from_cache, kill_privileges, flags } => {
                self.with(handle, reply, |inner, present, handle, reply| {
                    if from_cache {
                        return io::write_back(inner, &present, &handle, offset, data, reply);
                    }
                    let data = data.to_vec();
                    io::write(
                        inner,
                        present,
                        io::Write { handle, offset, data, flags, kill_privileges, reply },
                    );
                });
            }
            _ => reply.error(Errno::NOSYS),
        }
    }

    fn name(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        use Operation as Op;
        let (header, inode) = (*header, header.inode);
        match operation {
            Op::Lookup { name } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| naming::lookup(present, inode, name));
            }
            Op::SymLink { name, target } => {
                let what = Make::SymLink { target: bytes(target) };
                self.make(header, name, 0o777, Ok(what), reply);
            }
            Op::MkNod { name, mode, device, .. } => {
                let what = naming::of_mode(mode, device, self.0.consistency);
                self.make(header, name, mode, what, reply);
            }
            Op::MkDir { name, mode, .. } => self.make(header, name, mode, Ok(Make::Directory), reply),
            Op::Unlink { name } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| naming::unlink(present, inode, name));
            }
            Op::RmDir { name } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| naming::rmdir(present, inode, name));
            }
            Op::Rename { name, new_parent, new_name, flags } => {
                let (from, to) = ((inode, bytes(name)), (new_parent, bytes(new_name)));
                self.ask(Lane::Ask, reply, move |_, present| naming::rename(present, from, to, flags));
            }
            Op::Link { inode: target, name } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| naming::link(present, target, inode, name));
            }
            Op::ReadLink => self.ask(Lane::Ask, reply, move |_, present| naming::read_link(present, inode)),
            Op::ReadDir { offset, bytes_max, .. } => {
                self.ask(Lane::Ask, reply, move |_, present| {
                    naming::read_dir(present, inode, offset, bytes_max)
                });
            }
            _ => reply.error(Errno::NOSYS),
        }
    }

    fn make(&self, header: Header, name: &OsStr, mode: u32, what: Result<Make, Errno>, reply: Reply) {
        let name = bytes(name);
        self.ask(Lane::Ask, reply, move |_, present| {
            naming::make(present, &header, name, mode, what?).map(Answer::Entry)
        });
    }

    fn attribute(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        use Operation as Op;
        let inode = header.inode;
        match operation {
            Op::GetAttr { .. } => {
                self.ask(Lane::Ask, reply, move |inner, present| attributes::get_attr(inner, present, inode));
            }
            Op::SetAttr(set) if set.size.is_some() => {
                self.0.opens.begin_truncation(inode);
                let file = self.0.files.get(inode);
                if let Some(file) = &file {
                    // As early as possible; whether others are at it is asked when it matters.
                    file.is_resizable();
                }
                self.0.later(Lane::Settle, reply, move |inner, reply| {
                    let outcome = attributes::wait_for_takers(file.as_deref()).and_then(|()| {
                        let present = inner.present()?;
                        attributes::set_attr(inner, &present, inode, &set)
                    });
                    send(reply, outcome, &inner.files);
                    // The kernel has dropped what it thought to be cut off. It may have thought the file shorter.
                    if inner.opens.end_truncation(inode) {
                        inner.cache.drop_all(inode);
                    }
                });
            }
            Op::SetAttr(set) => self.ask(Lane::Ask, reply, move |inner, present| {
                attributes::set_attr(inner, present, inode, &set)
            }),
            Op::StatFs => self.ask(Lane::Ask, reply, |_, present| attributes::stat_fs(present)),
            Op::SetXattr { name, .. } | Op::GetXattr { name, .. } | Op::RemoveXattr { name }
                if xattrs::is_unsupported(name.as_bytes()) =>
            {
                reply.error(Errno::OPNOTSUPP);
            }
            Op::SetXattr { name, value, flags } => {
                let pair = (bytes(name), value.to_vec());
                self.ask(Lane::Ask, reply, move |_, present| xattrs::set(present, inode, pair, flags));
            }
            Op::GetXattr { name, bytes_max } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| xattrs::get(present, inode, name, bytes_max));
            }
            Op::ListXattr { bytes_max } => {
                self.ask(Lane::Ask, reply, move |_, present| xattrs::list(present, inode, bytes_max));
            }
            Op::RemoveXattr { name } => {
                let name = bytes(name);
                self.ask(Lane::Ask, reply, move |_, present| xattrs::remove(present, inode, name));
            }
            _ => reply.error(Errno::NOSYS),
        }
    }

    fn lock(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        use Operation as Op;
        let present = match self.0.present() {
            Ok(present) => present,
            Err(errno) => return reply.error(errno),
        };
        match operation {
            Op::SetLock { handle, owner, lock, flock, wait } => {
                let wish = Wish { handle, owner, lock, flock, wait };
                locking::set(&self.0, &present, header, &wish, reply);
            }
            Op::GetLock { handle, owner, lock } => {
                let wish = Wish { handle, owner, lock, flock: false, wait: false };
                locking::test(&present, header, &wish, reply);
            }
            Op::Interrupt { unique } => locking::interrupt(&self.0, unique, reply),
            _ => reply.error(Errno::NOSYS),
        }
    }

    fn open_file(&self, header: &Header, operation: Operation<'_>, reply: Reply) {
        use Operation as Op;
        let (header, inode) = (*header, header.inode);
        match operation {
            // Inode numbers are never given twice, so what the kernel knows of them needn't be counted.
            Op::Forget(_) | Op::Destroy => reply.none(),
            Op::Open { flags } => {
                let lane = opening::lane(flags);
                self.ask(lane, reply, move |inner, present| opening::open(inner, present, inode, flags));
            }
            Op::Create { name, flags, mode, .. } => {
                let name = bytes(name);
                self.ask(opening::lane(flags), reply, move |inner, present| {
                    opening::create(inner, present, &header, name, (flags, mode))
                });
            }
            Op::Flush { lock_owner, .. } => self.flush(inode, lock_owner, reply),
            Op::Release { handle, lock_owner, unlock_flock } => {
                opening::release(&self.0, (handle, inode), unlock_flock.then_some(lock_owner));
                reply.empty();
            }
            Op::FSync { .. } => self.tell_and_answer(inode, reply),
            Op::OpenDir { .. } => reply.opened(0, OPENED_DIRECTORY),
            // Names are replicated as they change; there is nothing left to be written.
            Op::ReleaseDir { .. } | Op::FSyncDir | Op::Access { .. } => reply.empty(),
            Op::FAllocate { handle, offset, bytes, mode } => {
                self.with_later(Lane::Settle, handle, reply, move |inner, present, handle| {
                    inner.written.mark(handle.inode);
                    space::allocate(present, handle, offset, bytes, mode)
                });
            }
            Op::LSeek { handle, offset, whence } => {
                self.with_later(Lane::Ask, handle, reply, move |_, present, handle| {
                    space::seek(present, handle, offset, whence)
                });
            }
            _ => reply.error(Errno::NOSYS),
        }
    }

    /// Somebody closes one of its files, which ends the record locks of its process.
    fn flush(&self, inode: Inode, lock_owner: u64, reply: Reply) {
        let service = self.clone();
        let present = self.0.present().ok();
        match present.as_ref().and_then(|present| present.locks.get()) {
            Some(locks) => locks.release_owner(inode, Space::Posix, lock_owner, move || {
                service.tell_and_answer(inode, reply);
            }),
            None => self.tell_and_answer(inode, reply),
        }
    }

    /// Answers when the cluster knows when the file was last written to.
    fn tell_and_answer(&self, inode: Inode, reply: Reply) {
        if !self.0.written.is_marked(inode) {
            return reply.empty();
        }
        self.ask(Lane::Ask, reply, move |inner, present| {
            inner.tell_written(present, inode);
            Ok(Answer::Empty)
        });
    }
}
