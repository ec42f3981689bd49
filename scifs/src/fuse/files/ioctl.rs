//! What programs ask beyond reading and writing: the ioctls of `scifs_client::abi`.

use std::sync::Arc;

use rustix::io::Errno;
use scifs_client::abi;

use super::answer::errno;
use super::attaching::Wanted;
use super::attributes;
use super::handles::{Handle, KeptOpen};
use super::io::ask_size;
use super::lanes::Lane;
use super::present::Present;
use super::{Inner, Service};
use crate::coherence::Mode;
use crate::fuse::kernel::{Header, Ioctl, Reply};
use crate::node::Later;

const READ: u32 = 0;
const WRITE: u32 = 1;

impl Service {
    pub(super) fn ioctl(&self, header: &Header, ioctl: Ioctl<'_>, reply: Reply) {
        let of_file = !matches!(ioctl.command, abi::INFO | abi::BARRIER);
        match ioctl.command {
            // Somebody else's, such as the flags of ext4.
            command if !abi::ALL.contains(&command) => reply.error(Errno::NOTTY),
            _ if of_file && ioctl.on_directory => reply.error(Errno::NOTTY),
            abi::INFO => self.info(reply),
            abi::ATTACH => self.attach(*header, ioctl.handle, reply),
            abi::PREFETCH => self.prefetch(&ioctl, reply),
            abi::WAIT => self.wait(&ioctl, reply),
            abi::NOTIFY => self.notify(&ioctl, reply),
            abi::BARRIER => self.arrive(&ioctl, reply),
            _ => reply.error(Errno::NOTTY),
        }
    }

    fn info(&self, reply: Reply) {
        match self.0.present().and_then(|present| info(&self.0, &present)) {
            Ok(info) => reply.ioctl(0, &info.to_bytes()),
            Err(errno) => reply.error(errno),
        }
    }

    fn attach(&self, header: Header, number: u64, reply: Reply) {
        if self.0.attaching.get().is_none() {
            return reply.error(Errno::NOTTY);
        }
        self.with(number, reply, |inner, present, handle, reply| {
            inner.later(Lane::Ask, reply, move |inner, reply| {
                match attach(inner, &present, &header, (number, &handle)) {
                    Ok(attach) => reply.ioctl(0, &attach.to_bytes()),
                    Err(errno) => reply.error(errno),
                }
            });
        });
    }

    fn prefetch(&self, ioctl: &Ioctl<'_>, reply: Reply) {
        let Ok(hint) = abi::Prefetch::from_bytes(ioctl.data) else { return reply.error(Errno::INVAL) };
        let mode = match hint.mode {
            _ if hint.reserved != 0 => return reply.error(Errno::INVAL),
            READ => Mode::Read,
            WRITE => Mode::Write,
            _ => return reply.error(Errno::INVAL),
        };
        self.with(ioctl.handle, reply, |inner, present, handle, reply| {
            if mode == Mode::Write && !handle.writable {
                return reply.error(Errno::BADF);
            }
            // Never on a thread that reads requests: many pages take a while to be asked for.
            inner.later(Lane::Ask, reply, move |inner, reply| {
                match prefetch(inner, &present, &handle, hint, mode) {
                    Ok(()) => reply.ioctl(0, &[]),
                    Err(errno) => reply.error(errno),
                }
            });
        });
    }
}

fn info(inner: &Inner, present: &Present) -> Result<abi::Info, Errno> {
    let counts = present.pages.counts();
    let memory = present.memory.status();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(abi::Info {
        version: abi::VERSION,
        node: present.names.member().ok_or(Errno::IO)?,
        nodes: count(present.cluster.view().len()),
        attached: inner.attaching.get().map_or(0, |attaching| count(attaching.programs())),
        faults: counts.faults,
        faults_remote: counts.faults_elsewhere,
        pages_received: counts.received,
        pages_sent: counts.sent,
        pages_revoked: counts.revoked,
        memory_used: memory.used_bytes(),
        memory_budget: memory.budget_bytes,
    })
}

fn attach(
    inner: &Arc<Inner>,
    present: &Arc<Present>,
    header: &Header,
    (number, handle): (u64, &Arc<Handle>),
) -> Result<abi::Attach, Errno> {
    let attaching = inner.attaching.get().ok_or(Errno::NOTTY)?;
    let open = KeptOpen::new(inner, handle.inode)?;
    let address = present.names.address(handle.inode).map_err(errno)?;
    let attr = attributes::attr(present, handle.inode)?;
    attaching.attach(Wanted {
        file: Arc::clone(&handle.file),
        pages: Arc::clone(&present.pages),
        handle: number,
        address,
        size: attr.size,
        writable: handle.writable || attributes::may_write(&attr, header),
        uid: header.uid,
        pid: header.pid,
        open,
    })
}

fn prefetch(
    inner: &Arc<Inner>,
    present: &Present,
    handle: &Handle,
    hint: abi::Prefetch,
    mode: Mode,
) -> Result<(), Errno> {
    let range = (hint.offset, hint.bytes);
    if hint.offset.saturating_add(hint.bytes) > handle.file.size() {
        ask_size(inner, present, handle)?;
    }
    let goes_on = Arc::downgrade(inner);
    let later: Arc<Later> = Arc::new(move |window| {
        if let Some(inner) = goes_on.upgrade() {
            // Refused, the rest of the hint isn't followed.
            inner.lanes.run(Lane::Ask, window);
        }
    });
    present.pages.prefetch(&handle.file, range, mode, &later);
    Ok(())
}
