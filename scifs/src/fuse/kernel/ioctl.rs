//! An ioctl on an open file or directory. Only the kind comes here whose number says how many bytes go in and out, so the kernel
//! has copied them already and nobody reads the caller's memory.

use scios::rpc::codec::{DecodeError, Reader};

/// As many as the 14 bits of an ioctl's number can say.
pub const IOCTL_BYTES_MAX: usize = (1 << 14) - 1;

const IOCTL_DIR: u32 = 1 << 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ioctl<'a> {
    /// Of the open file; directories have none.
    pub handle: u64,
    pub command: u32,
    /// What the caller gives.
    pub data: &'a [u8],
    /// Room for what it gets.
    pub answer_bytes_max: usize,
    pub on_directory: bool,
}

pub(super) fn ioctl<'a>(from: &mut Reader<'a>) -> Result<Ioctl<'a>, DecodeError> {
    let (handle, flags, command, _argument) = (from.u64()?, from.u32()?, from.u32()?, from.u64()?);
    let (given, room) = (from.u32()? as usize, from.u32()? as usize);
    if given > IOCTL_BYTES_MAX {
        return Err(DecodeError::TooLong { what: "an ioctl's data", length: given, max: IOCTL_BYTES_MAX });
    }
    let data = from.raw(given)?;
    let answer_bytes_max = room.min(IOCTL_BYTES_MAX);
    Ok(Ioctl { handle, command, data, answer_bytes_max, on_directory: flags & IOCTL_DIR != 0 })
}
