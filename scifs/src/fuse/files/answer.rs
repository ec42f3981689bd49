//! What a request ends in, made by code that doesn't know the kernel's layouts.

use rustix::io::Errno;

use super::convert;
use crate::fuse::kernel::{DirBuffer, Entry, OpenFlags, Reply, StatFs};
use crate::names::{Attr, NameError};
use crate::node::Files;

#[derive(Debug)]
pub(super) enum Answer {
    Empty,
    Attr(Attr),
    Entry(Attr),
    Opened(u64),
    Created(Attr, u64),
    Directory(DirBuffer),
    Data(Vec<u8>),
    StatFs(StatFs),
    Xattr { value: Vec<u8>, bytes_max: u32 },
    Offset(u64),
}

pub(super) type Outcome = Result<Answer, Errno>;

/// The page cache serves mappings only, and stays as it is when somebody opens the file once more.
const OPENED: OpenFlags = OpenFlags { direct_io: true, keep_cache: true, parallel_direct_writes: true };

/// For directories, which are never in the page cache.
pub(super) const OPENED_DIRECTORY: OpenFlags =
    OpenFlags { direct_io: false, keep_cache: false, parallel_direct_writes: false };

pub(super) fn send(reply: Reply, outcome: Outcome, files: &Files) {
    match outcome {
        Ok(Answer::Empty) => reply.empty(),
        Ok(Answer::Attr(attr)) => reply.attr(&convert::attr(&attr, files), convert::VALID),
        Ok(Answer::Entry(attr)) => reply.entry(&entry(&attr, files)),
        Ok(Answer::Opened(handle)) => reply.opened(handle, OPENED),
        Ok(Answer::Created(attr, handle)) => reply.created(&entry(&attr, files), handle, OPENED),
        Ok(Answer::Directory(entries)) => reply.directory(&entries),
        Ok(Answer::Data(bytes)) => reply.data(&bytes),
        Ok(Answer::StatFs(about)) => reply.statfs(&about),
        Ok(Answer::Xattr { value, bytes_max }) => reply.xattr(&value, bytes_max),
        Ok(Answer::Offset(offset)) => reply.offset(offset),
        Err(errno) => reply.error(errno),
    }
}

fn entry(attr: &Attr, files: &Files) -> Entry {
    // Inode numbers are never given twice, so there is one generation.
    Entry {
        attr: convert::attr(attr, files),
        generation: 0,
        name_valid: convert::VALID,
        attr_valid: convert::VALID,
    }
}

/// What a program gets for what names said. A refusal is its own business; anything else is worth a line.
pub(super) fn errno(error: NameError) -> Errno {
    if !matches!(error, NameError::Refused(_)) {
        tracing::warn!(%error, "names could not be asked or changed");
    }
    error.errno()
}

/// Names answered something that doesn't fit the question.
pub(super) fn mismatch(question: &'static str) -> Errno {
    tracing::error!(question, "names gave an answer of another kind");
    Errno::IO
}
