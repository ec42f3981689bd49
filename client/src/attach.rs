//! One mapping of an open file, served by userfaultfd; or the reason why it has to be the kernel's.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

use crate::abi::{self, Attach};
use crate::registry::sessions;
use crate::session::Session;
use crate::sys::{self, Request};

/// Why a mapping takes the kernel's way, which is slower and just as coherent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    #[error("its node doesn't offer the fast path ({0}); it may be of an older version")]
    NotOffered(Errno),
    #[error("this user may not write the file, and the fast path needs that")]
    ReadOnly,
    #[error(
        "this user may have no userfaultfd; as root, give access to it: chmod 666 /dev/userfaultfd, or \
         sysctl vm.unprivileged_userfaultfd=1"
    )]
    NoUserfault,
    #[error("its node runs without the right to follow forks (CAP_SYS_PTRACE), and this program may fork")]
    Forks,
    #[error("it was asked for with {0}")]
    Asked(&'static str),
    #[error("this process runs in the memory of its parent (vfork)")]
    Borrowed,
    #[error(
        "the node speaks another version of libscifs' protocol; use the libraries and the node of one version"
    )]
    Version,
    #[error("the node has closed the conversation")]
    Lost,
    #[error("cannot {doing}: {errno}")]
    Failed { doing: &'static str, errno: Errno },
}

/// Who would follow a fork of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forks {
    /// Children must go on sharing.
    Needed,
    /// Where the node can't follow them, children don't have the mapping, and see to it themselves.
    NotNeeded,
}

/// A mapping that userfaultfd serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub address: usize,
    /// Children of fork have it, too.
    pub is_inherited: bool,
}

/// What the node says about an open file.
pub fn ask(file: BorrowedFd<'_>) -> Result<Attach, Why> {
    let answer = sys::read(file, abi::ATTACH).map_err(Why::NotOffered)?;
    let attach = Attach::from_bytes(&answer).map_err(|_| Why::Version)?;
    if attach.version != abi::VERSION {
        return Err(Why::Version);
    }
    if attach.flags & abi::WRITABLE == 0 {
        return Err(Why::ReadOnly);
    }
    Ok(attach)
}

/// Whether a mapping like this one can be served by userfaultfd, whatever the file; nothing says yes.
fn obstacle(request: &Request, file: BorrowedFd<'_>) -> Option<Why> {
    let asked = [
        (request.flags & libc::MAP_LOCKED, "MAP_LOCKED"),
        (request.flags & libc::MAP_HUGETLB, "MAP_HUGETLB"),
        (request.flags & libc::MAP_GROWSDOWN, "MAP_GROWSDOWN"),
        (request.flags & libc::MAP_SYNC, "MAP_SYNC"),
        (request.protection & libc::PROT_EXEC, "PROT_EXEC"),
    ];
    if let Some((_, what)) = asked.iter().find(|(bits, _)| *bits != 0) {
        return Some(Why::Asked(what));
    }
    let Ok(flags) = rustix::fs::fcntl_getfl(file) else { return Some(Why::Asked("no open file")) };
    if flags.contains(OFlags::DIRECT) {
        return Some(Why::Asked("O_DIRECT"));
    }
    // The kernel says what is wrong with these.
    let access = flags & OFlags::RWMODE;
    let refused =
        access == OFlags::WRONLY || (request.protection & libc::PROT_WRITE != 0 && access != OFlags::RDWR);
    let odd = request.length == 0 || !request.offset.is_multiple_of(page_bytes() as u64);
    (refused || odd).then_some(Why::Asked("what the kernel refuses"))
}

pub(crate) fn page_bytes() -> usize {
    rustix::param::page_size()
}

/// Maps as mmap(2) does, with MAP_SHARED, and gives where. With an error nothing new is mapped, but what MAP_FIXED was to replace is gone.
///
/// # Safety
/// That of mmap: with `MAP_FIXED`, nobody may rely on what is mapped there.
#[allow(unsafe_code)]
pub unsafe fn map(file: BorrowedFd<'_>, request: &Request, forks: Forks) -> Result<Served, Why> {
    if let Some(why) = obstacle(request, file) {
        return Err(why);
    }
    crate::registry::begin();
    if sys::is_borrowed() {
        return Err(Why::Borrowed);
    }
    // SAFETY: as the caller promises.
    match unsafe { once(file, request, forks) } {
        // A conversation of an earlier life of the node; a new ticket goes to a new one.
        // SAFETY: as the caller promises.
        Err(Why::Lost) => unsafe { once(file, request, forks) },
        other => other,
    }
}

/// # Safety
/// That of [`map`].
#[allow(unsafe_code)]
unsafe fn once(file: BorrowedFd<'_>, request: &Request, forks: Forks) -> Result<Served, Why> {
    let attach = ask(file)?;
    let mut sessions = sessions();
    let at = match sessions.iter().position(|session| session.is_of(&attach.socket)) {
        Some(at) => at,
        None => {
            sessions.push(Session::open(&attach.socket)?);
            sessions.len() - 1
        }
    };
    let Some(session) = sessions.get(at) else { return Err(Why::Lost) };
    // SAFETY: as the caller promises.
    let result = unsafe { with(session, &attach, request, forks) };
    if matches!(result, Err(Why::Lost | Why::Version | Why::Failed { doing: "talk to the node", .. })) {
        sessions.remove(at).abandon();
    }
    result
}

/// # Safety
/// That of [`map`].
#[allow(unsafe_code)]
unsafe fn with(session: &Session, attach: &Attach, request: &Request, forks: Forks) -> Result<Served, Why> {
    if !session.follows_forks && forks == Forks::Needed {
        return Err(Why::Forks);
    }
    let failed = |doing| move |errno| Why::Failed { doing, errno };
    let length =
        request.length.checked_next_multiple_of(page_bytes()).ok_or(Why::Asked("an endless length"))?;
    let memory = session.segment(attach.ticket)?;
    // Nobody can touch it before it is served: a page that the kernel made up by itself would be taken for the file's.
    let closed = Request {
        protection: libc::PROT_NONE,
        flags: request.flags & !(libc::MAP_POPULATE | libc::MAP_NONBLOCK),
        ..*request
    };
    // SAFETY: as the caller promises.
    let address = unsafe { sys::map(&closed, memory.as_fd()) }.map_err(failed("map the file's memory"))?;
    let opened = session.map(attach.inode, address, length as u64, request.offset).and_then(|()| {
        if !session.follows_forks {
            sys::not_inherited(address, length).map_err(failed("keep the mapping from children"))?;
        }
        // SAFETY: it was mapped just now, and nobody knows it yet.
        unsafe { sys::protect(address, length, request.protection) }.map_err(failed("open the mapping"))
    });
    if opened.is_err() {
        // SAFETY: the same. It can only fail where there is nothing to take away.
        let _ = unsafe { sys::unmap(address, length) };
    }
    opened.map(|()| Served { address, is_inherited: session.follows_forks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fast_path_cannot_do_is_the_kernels() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let plain = Request {
            address: 0,
            length: 4096,
            protection: libc::PROT_READ | libc::PROT_WRITE,
            flags: libc::MAP_SHARED,
            offset: 0,
        };
        assert_eq!(obstacle(&plain, file.as_fd()), None);
        for odd in [
            Request { length: 0, ..plain },
            Request { offset: 7, ..plain },
            Request { protection: libc::PROT_EXEC, ..plain },
            Request { flags: libc::MAP_SHARED | libc::MAP_LOCKED, ..plain },
        ] {
            assert!(matches!(obstacle(&odd, file.as_fd()), Some(Why::Asked(_))), "{odd:?}");
        }
        let reading = std::fs::File::open("/proc/self/status").unwrap();
        assert!(obstacle(&plain, reading.as_fd()).is_some());
        assert_eq!(obstacle(&Request { protection: libc::PROT_READ, ..plain }, reading.as_fd()), None);
    }

    #[test]
    fn a_file_that_is_on_no_mount_is_not_offered_the_fast_path() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        assert!(matches!(ask(file.as_fd()), Err(Why::NotOffered(_))));
    }
}
