//! What a program and the node's daemon say to each other about a mounted file: ioctls on an open file or folder of the mount, and
//! packets on a local socket for what needs file descriptors. The same layouts on both sides, in the machine's byte order.
//!
//! An ioctl proves by itself that the caller may open the file, so it is what gives out the ticket that the socket asks for.
//! A program that shares memory: `ATTACH` on the open file gives a ticket and the socket's name; `Hello` with a new userfaultfd
//! begins a conversation (one a process); `Segment` with the ticket gives the file's memory, which the program maps wherever
//! it wants; `Map` then makes the daemon register the range and serve its faults. From then on the daemon follows what the process
//! does (unmap, remap, fork, exec, exit) by itself.

use thiserror::Error;

/// Both sides refuse another one.
pub const VERSION: u32 = 1;
/// The `type` of all our ioctls.
const IOC_TYPE: u32 = 0xF5;

const IOC_WRITE: u32 = 1;
const IOC_READ: u32 = 2;

const fn ioc(direction: u32, number: u32, bytes: usize) -> u32 {
    (direction << 30) | ((bytes as u32) << 16) | (IOC_TYPE << 8) | number
}

/// Gives an [`Attach`]. Files only.
pub const ATTACH: u32 = ioc(IOC_READ, 1, Attach::BYTES);
/// Gives an [`Info`].
pub const INFO: u32 = ioc(IOC_READ, 2, Info::BYTES);
/// Takes a [`Wait`]: 0 when woken, EAGAIN when the value is another one, ETIMEDOUT, EINTR. Files only.
pub const WAIT: u32 = ioc(IOC_WRITE, 3, Wait::BYTES);
/// Takes a [`Notify`]; returns how many were woken. Files only.
pub const NOTIFY: u32 = ioc(IOC_WRITE, 4, Notify::BYTES);
/// Takes a [`Barrier`]; returns 1 for one of the parties and 0 for the others; EINVAL when they don't agree on their number.
pub const BARRIER: u32 = ioc(IOC_WRITE, 5, Barrier::BYTES);
/// Takes a [`Prefetch`]; returns when the pages are asked for, not when they are here. Files only.
pub const PREFETCH: u32 = ioc(IOC_WRITE, 6, Prefetch::BYTES);

/// Every ioctl there is.
pub const ALL: [u32; 6] = [ATTACH, INFO, WAIT, NOTIFY, BARRIER, PREFETCH];

/// No limit, for `timeout_ns`.
pub const FOREVER: u64 = u64::MAX;
pub const NAME_BYTES: usize = 64;
pub type Ticket = [u8; 16];
/// A text, filled up with zeros.
pub type Name = [u8; NAME_BYTES];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the other side speaks another version of libscifs' protocol, or not this protocol at all")]
pub struct Malformed;

/// A field that is written as its bytes.
trait Field: Sized {
    const BYTES: usize;
    fn put(&self, to: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const BYTES: usize = size_of::<$type>();
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_ne_bytes());
            }
            fn take(from: &mut &[u8]) -> Option<Self> {
                from.split_off(..Self::BYTES).and_then(|bytes| bytes.try_into().ok()).map(Self::from_ne_bytes)
            }
        }
    )*};
}
number!(u32, i32, u64);

impl<const N: usize> Field for [u8; N] {
    const BYTES: usize = N;
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }
    fn take(from: &mut &[u8]) -> Option<Self> {
        from.split_off(..N).and_then(|bytes| bytes.try_into().ok())
    }
}

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            pub const BYTES: usize = 0 $(+ <$type as Field>::BYTES)*;

            pub fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(Self::BYTES);
                $(self.$field.put(&mut bytes);)*
                bytes
            }

            /// Exactly so many bytes.
            pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, Malformed> {
                let all = Self { $($field: Field::take(&mut bytes).ok_or(Malformed)?,)* };
                if bytes.is_empty() { Ok(all) } else { Err(Malformed) }
            }
        }
    };
}

layout! {
    /// Answer to [`ATTACH`]. Fields are naturally aligned in all of these, so they are C structs, too.
    Attach {
        version: u32,
        /// See [`WRITABLE`].
        flags: u32,
        inode: u64,
        /// Where the segment is mapped on every node.
        address: u64,
        size: u64,
        /// To be used once, within the life of the open file.
        ticket: Ticket,
        /// Of an abstract Unix socket of packets, without its leading zero byte.
        socket: Name,
    }
}

/// The file was opened, or may be opened by this user, for writing: its memory can be mapped.
pub const WRITABLE: u32 = 1;

layout! {
    /// Answer to [`INFO`]. Counters are of the whole node since it started.
    Info {
        version: u32,
        /// The node's number in the cluster.
        node: u32,
        /// How many nodes there are.
        nodes: u32,
        /// Programs that share memory with this node.
        attached: u32,
        /// Page faults of programs, on the mount and in shared memory.
        faults: u64,
        /// Those of them that another node had to be asked for.
        faults_remote: u64,
        pages_received: u64,
        pages_sent: u64,
        pages_revoked: u64,
        memory_used: u64,
        memory_budget: u64,
    }
}

layout! {
    Wait {
        /// Of the word in the file, aligned to its width.
        offset: u64,
        /// Who finds another value doesn't wait.
        expected: u64,
        /// Of the word: 4 or 8 bytes.
        width: u32,
        reserved: u32,
        timeout_ns: u64,
    }
}

layout! {
    Notify {
        offset: u64,
        /// As many waiting threads, at most.
        count: u32,
        reserved: u32,
    }
}

layout! {
    Barrier {
        name: Name,
        parties: u32,
        reserved: u32,
        timeout_ns: u64,
    }
}

layout! {
    Prefetch {
        offset: u64,
        bytes: u64,
        /// 0: to read, 1: to write.
        mode: u32,
        reserved: u32,
    }
}

/// What a packet from the program is; its first field.
pub mod kind {
    pub const HELLO: u32 = 1;
    pub const SEGMENT: u32 = 2;
    pub const MAP: u32 = 3;
}

layout! {
    /// The first packet, with one descriptor: a userfaultfd that was made non-blocking and has not been used (the daemon does
    /// UFFDIO_API on it, with its own rights). Answered by [`Welcome`].
    Hello {
        kind: u32,
        version: u32,
    }
}

layout! {
    Welcome {
        /// 0, or why not.
        errno: i32,
        /// See [`FOLLOWS_FORKS`].
        flags: u32,
    }
}

/// Children of the process keep sharing by themselves. Without it, ranges have to be marked MADV_DONTFORK.
pub const FOLLOWS_FORKS: u32 = 1;

layout! {
    /// Answered by [`Done`] and one descriptor: the file's memory, to be mapped shared, page `n` of the file at page `n`.
    Segment {
        kind: u32,
        reserved: u32,
        ticket: Ticket,
    }
}

layout! {
    /// The program has mapped a segment's memory here and has not touched it. Answered by [`Done`].
    Map {
        kind: u32,
        reserved: u32,
        inode: u64,
        address: u64,
        bytes: u64,
        /// In the file.
        offset: u64,
    }
}

layout! {
    Done {
        errno: i32,
        reserved: u32,
    }
}

/// The longest packet.
pub const PACKET_BYTES_MAX: usize = 128;

/// A text as a [`Name`]; nothing if it is too long or holds a zero byte.
pub fn name(text: &str) -> Option<Name> {
    let mut name = [0; NAME_BYTES];
    let place = name.get_mut(..text.len()).filter(|_| text.len() < NAME_BYTES && !text.contains('\0'))?;
    place.copy_from_slice(text.as_bytes());
    Some(name)
}

pub fn text_of(name: &Name) -> Option<&str> {
    let end = name.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(name.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let wait = Wait { offset: 8, expected: 7, width: 4, reserved: 0, timeout_ns: FOREVER };
        let bytes = wait.to_bytes();
        assert_eq!(bytes.len(), Wait::BYTES);
        assert_eq!(Wait::from_bytes(&bytes), Ok(wait));
        assert_eq!(Wait::from_bytes(&bytes[1..]), Err(Malformed));
        assert_eq!(Wait::from_bytes(&[bytes, vec![0]].concat()), Err(Malformed));
    }

    #[test]
    fn the_numbers_are_those_of_the_c_macros() {
        assert_eq!(ATTACH, 0x8070_F501);
        assert_eq!(WAIT, 0x4020_F503);
        assert_eq!(NOTIFY, 0x4010_F504);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert_eq!(name("phase").as_ref().and_then(text_of), Some("phase"));
        assert_eq!(name(&"x".repeat(NAME_BYTES)), None);
        assert_eq!(name("a\0b"), None);
    }
}
