//! Commands and what they answer.

use scios::rpc::codec::{DecodeError, EncodeError, Reader, Writer};

use super::fields::{
    consistency_code, consistency_from, get_attr, get_inode, get_time, invalid, put_attr, put_time,
};
use super::refusal::{get_refusal, put_refusal};
use crate::names::attr::Time;
use crate::names::command::{Answer, Changes, Command, Make, Renaming, Setting, Special};
use crate::names::error::Refusal;
use crate::names::limits::{
    LET_GO_MAX, NAME_BYTES_MAX, TARGET_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};

impl Command {
    /// Fails only for what `check` refuses.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut to = Writer::new();
        put(&mut to, self);
        to.finish().map(<[u8]>::to_vec)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let command = get(&mut from)?;
        from.end()?;
        Ok(command)
    }
}

fn put(to: &mut Writer, command: &Command) {
    match command {
        Command::Make { parent, name, what, mode, uid, gid, now } => {
            head(to, 1, *parent, *now);
            put_name(to, name);
            for word in [*mode, *uid, *gid] {
                to.u32(word);
            }
            put_make(to, what);
        }
        Command::Link { inode, parent, name, now } => {
            head(to, 2, *inode, *now);
            to.u64(*parent);
            put_name(to, name);
        }
        Command::Unlink { parent, name, now } => {
            head(to, 3, *parent, *now);
            put_name(to, name);
        }
        Command::RmDir { parent, name, now } => {
            head(to, 4, *parent, *now);
            put_name(to, name);
        }
        Command::Rename { parent, name, new_parent, new_name, how, now } => {
            head(to, 5, *parent, *now);
            put_name(to, name);
            to.u64(*new_parent);
            put_name(to, new_name);
            to.u8(match how {
                Renaming::Replace => 0,
                Renaming::NoReplace => 1,
                Renaming::Exchange => 2,
            });
        }
        of_a_file => put_file_command(to, of_a_file),
    }
}

fn put_file_command(to: &mut Writer, command: &Command) {
    match command {
        Command::SetAttr { inode, changes, now } => {
            head(to, 6, *inode, *now);
            put_changes(to, changes);
        }
        Command::Grow { inode, size, now } => {
            head(to, 7, *inode, *now);
            to.u64(*size);
        }
        Command::Append { inode, at, bytes, now } => {
            head(to, 8, *inode, *now);
            to.u64(*at);
            to.u64(*bytes);
        }
        Command::Punch { inode, first_page, pages, now } => {
            head(to, 9, *inode, *now);
            to.u32(*first_page);
            to.u32(*pages);
        }
        Command::Touch { inode, written } => head(to, 10, *inode, *written),
        Command::SetXattr { inode, name, value, setting, now } => {
            head(to, 11, *inode, *now);
            to.bytes("attribute name", name, XATTR_NAME_BYTES_MAX);
            to.bytes("attribute value", value, XATTR_VALUE_BYTES_MAX);
            to.u8(match setting {
                Setting::Either => 0,
                Setting::Create => 1,
                Setting::Replace => 2,
            });
        }
        Command::RemoveXattr { inode, name, now } => {
            head(to, 12, *inode, *now);
            to.bytes("attribute name", name, XATTR_NAME_BYTES_MAX);
        }
        Command::Pin { inode } => {
            to.u8(13);
            to.u64(*inode);
        }
        Command::LetGo { member, inodes } => {
            to.u8(14);
            to.u32(*member);
            to.list("inodes", inodes, LET_GO_MAX, |to, inode| to.u64(*inode));
        }
        // What is about names in directories was written by `put`.
        Command::Make { .. }
        | Command::Link { .. }
        | Command::Unlink { .. }
        | Command::RmDir { .. }
        | Command::Rename { .. } => {}
    }
}

fn get(from: &mut Reader<'_>) -> Result<Command, DecodeError> {
    Ok(match from.u8()? {
        1 => {
            let (parent, now) = get_head(from)?;
            let name = get_name(from)?;
            let (mode, uid, gid) = (from.u32()?, from.u32()?, from.u32()?);
            Command::Make { parent, name, what: get_make(from)?, mode, uid, gid, now }
        }
        2 => {
            let (inode, now) = get_head(from)?;
            Command::Link { inode, parent: get_inode(from)?, name: get_name(from)?, now }
        }
        3 => {
            let (parent, now) = get_head(from)?;
            Command::Unlink { parent, name: get_name(from)?, now }
        }
        4 => {
            let (parent, now) = get_head(from)?;
            Command::RmDir { parent, name: get_name(from)?, now }
        }
        5 => {
            let (parent, now) = get_head(from)?;
            let name = get_name(from)?;
            let (new_parent, new_name) = (get_inode(from)?, get_name(from)?);
            let how = match from.u8()? {
                0 => Renaming::Replace,
                1 => Renaming::NoReplace,
                2 => Renaming::Exchange,
                other => return Err(invalid("way to rename", other)),
            };
            Command::Rename { parent, name, new_parent, new_name, how, now }
        }
        tag => return get_file_command(from, tag),
    })
}

fn get_file_command(from: &mut Reader<'_>, tag: u8) -> Result<Command, DecodeError> {
    Ok(match tag {
        6 => {
            let (inode, now) = get_head(from)?;
            Command::SetAttr { inode, changes: get_changes(from)?, now }
        }
        7 => {
            let (inode, now) = get_head(from)?;
            Command::Grow { inode, size: from.u64()?, now }
        }
        8 => {
            let (inode, now) = get_head(from)?;
            Command::Append { inode, at: from.u64()?, bytes: from.u64()?, now }
        }
        9 => {
            let (inode, now) = get_head(from)?;
            Command::Punch { inode, first_page: from.u32()?, pages: from.u32()?, now }
        }
        10 => {
            let (inode, written) = get_head(from)?;
            Command::Touch { inode, written }
        }
        11 => get_set_xattr(from)?,
        12 => {
            let (inode, now) = get_head(from)?;
            let name = from.bytes("attribute name", XATTR_NAME_BYTES_MAX)?.to_vec();
            Command::RemoveXattr { inode, name, now }
        }
        13 => Command::Pin { inode: get_inode(from)? },
        14 => {
            let member = from.u32()?;
            Command::LetGo { member, inodes: from.list("inodes", LET_GO_MAX, get_inode)? }
        }
        other => return Err(invalid("command about names", other)),
    })
}

fn head(to: &mut Writer, tag: u8, inode: u64, now: Time) {
    to.u8(tag);
    to.u64(inode);
    put_time(to, now);
}

fn get_head(from: &mut Reader<'_>) -> Result<(u64, Time), DecodeError> {
    Ok((get_inode(from)?, get_time(from)?))
}

fn put_name(to: &mut Writer, name: &[u8]) {
    to.bytes("name", name, NAME_BYTES_MAX);
}

fn get_name(from: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(from.bytes("name", NAME_BYTES_MAX)?.to_vec())
}

fn get_set_xattr(from: &mut Reader<'_>) -> Result<Command, DecodeError> {
    let (inode, now) = get_head(from)?;
    let name = from.bytes("attribute name", XATTR_NAME_BYTES_MAX)?.to_vec();
    let value = from.bytes("attribute value", XATTR_VALUE_BYTES_MAX)?.to_vec();
    let setting = match from.u8()? {
        0 => Setting::Either,
        1 => Setting::Create,
        2 => Setting::Replace,
        other => return Err(invalid("way to set an attribute", other)),
    };
    Ok(Command::SetXattr { inode, name, value, setting, now })
}

fn put_make(to: &mut Writer, what: &Make) {
    match what {
        Make::File { consistency, address, size } => {
            to.u8(0);
            to.u8(consistency_code(*consistency));
            to.option(address.as_ref(), |to, address| to.u64(*address));
            to.u64(*size);
        }
        Make::Directory => to.u8(1),
        Make::SymLink { target } => {
            to.u8(2);
            to.bytes("target", target, TARGET_BYTES_MAX);
        }
        Make::Special { kind, device } => {
            to.u8(match kind {
                Special::Fifo => 3,
                Special::Socket => 4,
                Special::CharDevice => 5,
                Special::BlockDevice => 6,
            });
            to.u32(*device);
        }
    }
}

fn get_make(from: &mut Reader<'_>) -> Result<Make, DecodeError> {
    let kind = match from.u8()? {
        0 => {
            let consistency = consistency_from(from.u8()?)?;
            let address = from.option(Reader::u64)?;
            return Ok(Make::File { consistency, address, size: from.u64()? });
        }
        1 => return Ok(Make::Directory),
        2 => return Ok(Make::SymLink { target: from.bytes("target", TARGET_BYTES_MAX)?.to_vec() }),
        3 => Special::Fifo,
        4 => Special::Socket,
        5 => Special::CharDevice,
        6 => Special::BlockDevice,
        other => return Err(invalid("kind of file", other)),
    };
    Ok(Make::Special { kind, device: from.u32()? })
}

fn put_changes(to: &mut Writer, changes: &Changes) {
    for word in [changes.mode, changes.uid, changes.gid] {
        to.option(word.as_ref(), |to, word| to.u32(*word));
    }
    to.option(changes.size.as_ref(), |to, size| to.u64(*size));
    for time in [changes.atime, changes.mtime] {
        to.option(time.as_ref(), |to, time| put_time(to, *time));
    }
    to.bool(changes.drop_privileges);
}

fn get_changes(from: &mut Reader<'_>) -> Result<Changes, DecodeError> {
    Ok(Changes {
        mode: from.option(Reader::u32)?,
        uid: from.option(Reader::u32)?,
        gid: from.option(Reader::u32)?,
        size: from.option(Reader::u64)?,
        atime: from.option(get_time)?,
        mtime: from.option(get_time)?,
        drop_privileges: from.bool()?,
    })
}

/// What the log gives back for a command.
pub(in crate::names) fn encode_outcome(
    index: u64,
    answer: &Result<Answer, Refusal>,
) -> Result<Vec<u8>, EncodeError> {
    let mut to = Writer::new();
    to.u64(index);
    match answer {
        Ok(Answer::Done) => to.u8(0),
        Ok(Answer::Attr(attr)) => {
            to.u8(1);
            put_attr(&mut to, attr);
        }
        Ok(Answer::Address(address)) => {
            to.u8(2);
            to.u64(*address);
        }
        Err(refusal) => {
            to.u8(3);
            put_refusal(&mut to, refusal);
        }
    }
    to.finish().map(<[u8]>::to_vec)
}

pub(in crate::names) fn decode_outcome(bytes: &[u8]) -> Result<(u64, Result<Answer, Refusal>), DecodeError> {
    let mut from = Reader::new(bytes);
    let index = from.u64()?;
    let answer = match from.u8()? {
        0 => Ok(Answer::Done),
        1 => Ok(Answer::Attr(get_attr(&mut from)?)),
        2 => Ok(Answer::Address(from.u64()?)),
        3 => Err(get_refusal(&mut from)?),
        other => return Err(invalid("answer about names", other)),
    };
    from.end()?;
    Ok((index, answer))
}
