//! Refusals: a code, and for few of them what they name.

use scios::rpc::codec::{DecodeError, Reader, Writer};

use super::fields::invalid;
use crate::names::error::Refusal;

/// Those that name nothing (32 and 33 do). A code is never used for another one.
pub(super) const PLAIN: [(u8, Refusal); 31] = [
    (1, Refusal::NotFound),
    (2, Refusal::Gone),
    (3, Refusal::Exists),
    (4, Refusal::NotDirectory),
    (5, Refusal::IsDirectory),
    (6, Refusal::NotEmpty),
    (7, Refusal::BadName),
    (8, Refusal::NameTooLong),
    (9, Refusal::TargetTooLong),
    (10, Refusal::IntoItself),
    (11, Refusal::WrongKind),
    (12, Refusal::LinkToDirectory),
    (13, Refusal::TooManyLinks),
    (14, Refusal::TooManyInodes),
    (15, Refusal::StateFull),
    (16, Refusal::TooLong),
    (17, Refusal::LayoutFull),
    (18, Refusal::NoXattr),
    (19, Refusal::XattrExists),
    (20, Refusal::XattrUnsupported),
    (21, Refusal::XattrName),
    (22, Refusal::XattrTooLong),
    (23, Refusal::XattrsFull),
    (24, Refusal::XattrFixed),
    (25, Refusal::UnknownProperty),
    (26, Refusal::BadConsistency),
    (27, Refusal::BadAddress),
    (28, Refusal::NotEmptyFile),
    (29, Refusal::EndOfAddresses),
    (30, Refusal::NoAddress),
    (31, Refusal::Malformed),
];

pub(super) fn put_refusal(to: &mut Writer, refusal: &Refusal) {
    let (code, named) = match refusal {
        Refusal::Overlaps { address, inode } => (32, Some((*address, *inode))),
        Refusal::NoRoom { address, inode } => (33, Some((*address, *inode))),
        plain => (PLAIN.iter().find(|(_, other)| other == plain).map_or(0, |(code, _)| *code), None),
    };
    to.u8(code);
    if let Some((address, inode)) = named {
        to.u64(address);
        to.u64(inode);
    }
}

pub(super) fn get_refusal(from: &mut Reader<'_>) -> Result<Refusal, DecodeError> {
    match from.u8()? {
        32 => Ok(Refusal::Overlaps { address: from.u64()?, inode: from.u64()? }),
        33 => Ok(Refusal::NoRoom { address: from.u64()?, inode: from.u64()? }),
        code => {
            let plain = PLAIN.iter().find(|(other, _)| *other == code);
            plain.map(|(_, refusal)| refusal.clone()).ok_or(invalid("refusal", code))
        }
    }
}
