//! The messages of a userfaultfd, as they are read. Pure.

use super::PageFault;

/// Of struct uffd_msg.
pub(super) const MESSAGE_BYTES: usize = 32;

const PAGEFAULT: u8 = 0x12;
const FORK: u8 = 0x13;
const REMAP: u8 = 0x14;
const UNMAP: u8 = 0x16;

const FLAG_WRITE: u64 = 1;
const FLAG_WP: u64 = 2;
const IN_PAGE: u64 = 4095;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum RawEvent {
    Fault(PageFault),
    Fork { file: u32 },
    Remap { from: u64, to: u64, bytes: u64 },
    Unmap { start: u64, end: u64 },
}

/// Nothing for kinds that weren't asked for.
pub(super) fn parse(message: &[u8]) -> Option<RawEvent> {
    let word = |at: usize| {
        let bytes = message.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes)
    };
    Some(match *message.first()? {
        PAGEFAULT => RawEvent::Fault(PageFault {
            write: word(8)? & (FLAG_WRITE | FLAG_WP) != 0,
            protected: word(8)? & FLAG_WP != 0,
            address: word(16)? & !IN_PAGE,
            thread: word(24)? as u32,
        }),
        FORK => RawEvent::Fork { file: word(8)? as u32 },
        REMAP => RawEvent::Remap { from: word(8)?, to: word(16)?, bytes: word(24)? },
        UNMAP => RawEvent::Unmap { start: word(8)?, end: word(16)? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, words: [u64; 3]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        words.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn a_store_to_a_protected_page_is_a_write() {
        let fault = PageFault { address: 0x5000, write: true, protected: true, thread: 7 };
        assert_eq!(parse(&message(PAGEFAULT, [2, 0x5123, 7])), Some(RawEvent::Fault(fault)));
        let fault = PageFault { address: 0x5000, write: false, protected: false, thread: 7 };
        assert_eq!(parse(&message(PAGEFAULT, [4, 0x5000, 7])), Some(RawEvent::Fault(fault)));
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_nothing() {
        assert_eq!(parse(&message(REMAP, [1, 2, 3])), Some(RawEvent::Remap { from: 1, to: 2, bytes: 3 }));
        assert_eq!(parse(&message(REMAP, [1, 2, 3])[..30]), None);
        assert_eq!(parse(&message(0x55, [1, 2, 3])), None);
        assert_eq!(parse(&[]), None);
    }
}
