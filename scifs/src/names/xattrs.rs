//! Extended attributes. Most are only kept; `user.scifs.address` and `user.scifs.consistency` are what a file is.

use super::attr::{Consistency, Inode, Time};
use super::command::{Answer, Setting};
use super::error::Refusal;
use super::event::Event;
use super::limits::XATTRS_BYTES_MAX;
use super::node::{Node, xattr_weight};
use super::state::Names;

pub const XATTR_ADDRESS: &[u8] = b"user.scifs.address";
pub const XATTR_CONSISTENCY: &[u8] = b"user.scifs.consistency";
const XATTR_OURS: &[u8] = b"user.scifs.";

/// As `user.scifs.address` shows it.
pub fn address_text(address: u64) -> String {
    format!("{address:#x}")
}

/// As people write it: hexadecimal with 0x, or decimal.
pub fn parse_address(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

impl Names {
    pub(super) fn set_xattr(
        &mut self,
        inode: Inode,
        name: &[u8],
        value: &[u8],
        setting: Setting,
        now: Time,
    ) -> Result<Answer, Refusal> {
        let node = self.node(inode)?;
        check_namespace(name)?;
        if name.starts_with(XATTR_OURS) {
            return self.set_property(inode, name, value, setting, now);
        }
        let before = node.xattrs.get(name).map(|old| xattr_weight(name, old));
        allow(before.is_some(), setting)?;
        let (before, after) = (before.unwrap_or(0), xattr_weight(name, value));
        if all_xattrs(node) - before + after > XATTRS_BYTES_MAX {
            return Err(Refusal::XattrsFull);
        }
        self.room_for(after.saturating_sub(before))?;
        self.weight = self.weight + after - before;
        let node = self.node_mut(inode)?;
        node.xattrs.insert(name.to_vec(), value.to_vec());
        node.ctime = now;
        Ok(Answer::Done)
    }

    pub(super) fn remove_xattr(&mut self, inode: Inode, name: &[u8], now: Time) -> Result<Answer, Refusal> {
        let node = self.node_mut(inode)?;
        check_namespace(name)?;
        if name.starts_with(XATTR_OURS) {
            return Err(Refusal::XattrFixed);
        }
        let value = node.xattrs.remove(name).ok_or(Refusal::NoXattr)?;
        node.ctime = now;
        self.weight -= xattr_weight(name, &value);
        Ok(Answer::Done)
    }

    /// As long as a file is empty, nobody can have a page of it, so what it is may still change.
    fn set_property(
        &mut self,
        inode: Inode,
        name: &[u8],
        value: &[u8],
        setting: Setting,
        now: Time,
    ) -> Result<Answer, Refusal> {
        let file = self.node(inode)?.file()?;
        let (empty, old) = (file.size == 0, file.address);
        let late = if empty { Ok(()) } else { Err(Refusal::NotEmptyFile) };
        match name {
            XATTR_ADDRESS => {
                let address = parse_address(value).ok_or(Refusal::BadAddress)?;
                allow(old.is_some(), setting)?;
                late?;
                self.addresses.check(address, 0, old)?;
                if let Some(old) = old {
                    self.addresses.release(old);
                }
                self.addresses.claim(inode, address, 0)?;
                self.file_mut(inode)?.address = Some(address);
            }
            XATTR_CONSISTENCY => {
                let consistency = Consistency::from_name(value).ok_or(Refusal::BadConsistency)?;
                allow(true, setting)?;
                late?;
                self.file_mut(inode)?.consistency = consistency;
                self.tell(Event::Consistency { inode, consistency });
            }
            _ => return Err(Refusal::UnknownProperty),
        }
        self.node_mut(inode)?.ctime = now;
        Ok(Answer::Done)
    }

    /// Gives a file its address, if it has none.
    pub(super) fn pin(&mut self, inode: Inode) -> Result<Answer, Refusal> {
        let file = self.node(inode)?.file()?;
        if let Some(address) = file.address {
            return Ok(Answer::Address(address));
        }
        let address = self.addresses.place(inode, file.size)?;
        self.file_mut(inode)?.address = Some(address);
        Ok(Answer::Address(address))
    }
}

/// Access control lists would have to be obeyed, and `system.` has nothing else that could be kept.
pub(super) fn check_namespace(name: &[u8]) -> Result<(), Refusal> {
    let kept = [&b"user."[..], b"trusted.", b"security."];
    if kept.iter().any(|prefix| name.starts_with(prefix)) { Ok(()) } else { Err(Refusal::XattrUnsupported) }
}

fn allow(exists: bool, setting: Setting) -> Result<(), Refusal> {
    match (exists, setting) {
        (true, Setting::Create) => Err(Refusal::XattrExists),
        (false, Setting::Replace) => Err(Refusal::NoXattr),
        _ => Ok(()),
    }
}

fn all_xattrs(node: &Node) -> usize {
    node.xattrs.iter().map(|(name, value)| xattr_weight(name, value)).sum()
}
